"""What is stored about a user, and its erasure."""

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from app.adapters import features, sessions, sql
from app.core.history import History

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL = sql.load(__file__)


class Stored(Struct, frozen=True):
    """`latest` are JSON documents, newest first. Times of events are milliseconds."""

    events: int
    first_ts_ms: int | None
    last_ts_ms: int | None
    queued: int
    dead_letters: int
    latest: list[str]
    history: History
    erased_at: datetime | None

    @property
    def empty(self) -> bool:
        return not (self.events or self.queued or self.dead_letters or self.history)


class Erased(Struct, frozen=True):
    """How many rows were removed; `version` is that of the history as it was."""

    events: int
    queued: int
    dead_letters: int
    version: int
    erased_at: datetime


async def read(connection: "Connection", user_id: str, *, limit: int) -> Stored:
    row = await connection.fetchrow(_SQL["count_events"], user_id)
    assert row is not None  # an aggregate without GROUP BY always has one row
    history = await features.read_histories(connection, [user_id])
    return Stored(
        events=row[0],
        first_ts_ms=row[1],
        last_ts_ms=row[2],
        queued=await connection.fetchval(_SQL["count_queued"], user_id),
        dead_letters=await connection.fetchval(_SQL["count_dead_letters"], user_id),
        latest=[payload for (payload,) in await connection.fetch(_SQL["latest_events"], user_id, limit)],
        history=features.history_of(history.get(user_id)),
        erased_at=await connection.fetchval(_SQL["erased_at"], user_id),
    )


async def erase(connection: "Connection", user_id: str) -> Erased:
    """Removes all of it, in one transaction. The history is locked first, as the consumer does: it either has counted
    before, and that goes, or counts after, and sees the erasure.
    """
    async with connection.transaction():
        locked = await features.lock_histories(connection, [user_id])
        await connection.execute(_SQL["erase_history"], user_id)
        await sessions.erase(connection, user_id)
        events = await connection.execute(_SQL["erase_events"], user_id)
        queued = await connection.execute(_SQL["erase_queued"], user_id)
        letters = await connection.execute(_SQL["erase_dead_letters"], user_id)
        await connection.execute(_SQL["erase_batches"])
        erased_at = await connection.fetchval(_SQL["remember_erasure"], user_id)
    return Erased(_count(events), _count(queued), _count(letters), locked[user_id].version, erased_at)


async def erased(connection: "Connection", user_ids: Collection[str]) -> dict[str, int]:
    """Of these users, those who were erased, and when, in milliseconds. After their histories are locked."""
    rows = await connection.fetch(_SQL["erased"], list(user_ids))
    return {row["user_id"]: row["erased_ms"] for row in rows}


def _count(tag: str) -> int:
    return int(tag.rpartition(" ")[2])
