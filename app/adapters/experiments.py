"""Experiments as they are stored, and the sums over their users. A change and its announcement are one transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct, structs

from app.adapters import changes, sql
from app.core.buckets import BUCKETS, CONTROL_BUCKET, moved
from app.core.experiments import MAX_EXPERIMENTS, ExperimentBody, Layer, Lists, Metric, buckets_layer
from app.core.sequential import Moments
from app.core.variants import CONTROL_NAME
from app.core.verdicts import VariantSample

if TYPE_CHECKING:
    import asyncpg

    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)


# Some 0.3 s of one statement.
_USERS_AT_ONCE: Final = 200_000

NAME_KEPT_DAYS: Final = 90
"""So long the name of an experiment that is deleted stays taken."""


class TooManyExperiments(Exception):
    """There are `MAX_EXPERIMENTS`."""


class StoredExperiment(Struct, frozen=True, kw_only=True):
    """`buckets`: the variant of each thousandth of the users."""

    body: ExperimentBody
    buckets: Sequence[str]
    stage: int
    started_at: datetime
    stage_at: datetime
    ended_at: datetime | None
    conclusion: str | None
    totals: str | None

    @property
    def layer(self) -> Layer:
        return buckets_layer(self.body, self.stage, self.buckets)


class UserSums(Struct, frozen=True, kw_only=True):
    """Sums over the users of a variant whose days are over, and how many were `exposed` at all."""

    variant: str
    exposed: int = 0
    users: int = 0
    shown: float = 0.0
    clicked: float = 0.0
    shown_shown: float = 0.0
    clicked_clicked: float = 0.0
    clicked_shown: float = 0.0
    clickers: int = 0
    buyers: int = 0
    revenue: float = 0.0
    revenue_revenue: float = 0.0
    payers: int = 0
    watch_sec: float = 0.0
    watch_watch: float = 0.0
    watchers: int = 0

    def plus(self, other: "UserSums") -> "UserSums":
        """The sums over the users of both, which are of the same variant."""
        sums = [name for name in self.__struct_fields__ if name != "variant"]
        return structs.replace(self, **{name: getattr(self, name) + getattr(other, name) for name in sums})

    def sample(self) -> VariantSample:
        users, buyers = float(self.users), float(self.buyers)
        moments: dict[Metric, Moments] = {
            "ctr": Moments(
                self.users,
                self.clickers,
                self.clicked,
                self.shown,
                self.clicked_clicked,
                self.shown_shown,
                self.clicked_shown,
            ),
            "conversion": Moments(self.users, self.buyers, buyers, users, buyers, users, buyers),
            "revenue": Moments(self.users, self.payers, self.revenue, users, self.revenue_revenue, users, self.revenue),
            "watch_time": Moments(
                self.users, self.watchers, self.watch_sec, users, self.watch_watch, users, self.watch_sec
            ),
        }
        return VariantSample(self.exposed, moments)


_totals: Final = msgspec.json.Decoder(list[UserSums])


async def start(connection: "Connection", body: ExperimentBody) -> StoredExperiment | None:
    """None when one runs on the lists, or the name was used. Raises `TooManyExperiments`."""
    shares = {variant.name: variant.share for variant in body.variants}
    buckets = moved([CONTROL_BUCKET] * BUCKETS, shares)
    async with connection.transaction():
        # One writer at a time, or two could both store the last one. Readers do not wait.
        await connection.execute(_SQL["lock"])
        if await connection.fetchval(_SQL["count"]) >= MAX_EXPERIMENTS:
            raise TooManyExperiments
        started = await connection.fetchval(
            _SQL["start"],
            body.name,
            body.lists,
            msgspec.json.encode(body).decode(),
            [CONTROL_NAME, *shares],
            body.window_days,
            body.currency,
            buckets,
            NAME_KEPT_DAYS,
        )
        if started is None:
            return None
        await changes.record(connection, [changes.EXPERIMENTS_CHANGED])
        return await read(connection, body.name)


async def read(connection: "Connection", name: str) -> StoredExperiment | None:
    row = await connection.fetchrow(_SQL["find"], name)
    return None if row is None else _stored(row)


async def read_all(connection: "Connection") -> list[StoredExperiment]:
    """Those that run first, then the newest."""
    return [_stored(row) for row in await connection.fetch(_SQL["read_all"], MAX_EXPERIMENTS)]


async def read_layers(connection: "Connection") -> dict[Lists, Layer]:
    """What runs, by the lists."""
    found = [_stored(row) for row in await connection.fetch(_SQL["running"])]
    return {one.body.lists: one.layer for one in found}


async def read_of_user(connection: "Connection", user_id: str) -> list[tuple[StoredExperiment, datetime | None]]:
    """What runs, and when the first list of the user counted; None: none was."""
    rows = await connection.fetch(_SQL["of_user"], user_id)
    return [(_stored(row), row["exposed_at"]) for row in rows]


async def change_shares(connection: "Connection", stored: StoredExperiment, shares: Mapping[str, float]) -> None:
    """Moves as few users as it can, and begins a stage: its figures start anew. In the transaction that locked it."""
    await connection.execute(_SQL["restage"], stored.body.name, moved(stored.buckets, shares))
    await changes.record(connection, [changes.EXPERIMENTS_CHANGED])


async def lock(connection: "Connection") -> None:
    """Until the end of the transaction nobody else changes an experiment."""
    await connection.execute(_SQL["lock"])


async def stop(connection: "Connection", name: str, conclusion: str | None) -> bool:
    """True when it ran."""
    async with connection.transaction():
        found = await connection.fetchval(_SQL["stop"], name, conclusion)
        if found is not None:
            await changes.record(connection, [changes.EXPERIMENTS_CHANGED])
    return found is not None


async def delete(connection: "Connection", name: str) -> bool:
    """True when it was there and had ended. Maintenance removes what is left of its users. In a transaction."""
    if await connection.fetchval(_SQL["delete"], name) is None:
        return False
    await connection.execute(_SQL["keep_name"], name, NAME_KEPT_DAYS)
    return True


async def was_deleted(connection: "Connection", name: str) -> bool:
    """Whether an experiment of this name was deleted in the last `NAME_KEPT_DAYS`."""
    return bool(await connection.fetchval(_SQL["had_name"], name, NAME_KEPT_DAYS))


async def read_sums(connection: "Connection", stored: StoredExperiment) -> dict[str, UserSums]:
    """By variant, those without users too; control first."""
    found = await _sums(connection, stored.body.name) if stored.totals is None else _totals.decode(stored.totals)
    by_name = {one.variant: one for one in found}
    names = [CONTROL_NAME, *(variant.name for variant in stored.body.variants)]
    return {name: by_name.get(name, UserSums(variant=name)) for name in names}


async def count_outcomes(connection: "Connection", start_at: datetime, until: datetime) -> None:
    """Adds what users of experiments bought and watched in this slice of arrivals, in the transaction of the slice."""
    if await connection.fetchval(_SQL["counting"], start_at):
        await connection.execute(_SQL["count_outcomes"], start_at, until)


async def settle(connection: "Connection") -> None:
    """Keeps the sums of one that has ended, once all of its events are in them. Others may do the same meanwhile."""
    name = await connection.fetchval(_SQL["settle"])
    if name is not None:
        totals = msgspec.json.encode(await _sums(connection, name)).decode()
        await connection.execute(_SQL["keep_totals"], name, totals)


async def _sums(connection: "Connection", name: str) -> list[UserSums]:
    """In parts, so that no number of users takes a statement too long."""
    found: dict[str, UserSums] = {}
    last, count = "", _USERS_AT_ONCE
    while count == _USERS_AT_ONCE:
        count = 0
        for row in await connection.fetch(_SQL["sums"], name, last, _USERS_AT_ONCE):
            part = UserSums(**{field: row[field] for field in UserSums.__struct_fields__})
            found[part.variant] = found.get(part.variant, UserSums(variant=part.variant)).plus(part)
            last, count = row["last"], count + part.exposed
    return list(found.values())


def _stored(row: "asyncpg.Record") -> StoredExperiment:
    fields = {name: row[name] for name in StoredExperiment.__struct_fields__ if name != "body"}
    return StoredExperiment(body=msgspec.json.decode(row["definition"], type=ExperimentBody), **fields)
