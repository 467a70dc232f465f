"""Erasure of users, ordered by numbers in Postgres and by no clock (docs/adr/0026).

Postgres numbers the erasures of all users. Each row of `events`, `event_outbox` and `feature_consumer_dlq` keeps the
number of the last erasure at its insert, and a message carries it: one below the number of the user's own last erasure
came before that. `begin` numbers an erasure and removes what was counted; from then on nothing of before counts.
`finish` removes the rows.
"""

import asyncio
import math
import time
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from msgspec import Struct

from app.adapters import changes, features, rebuild_locks, sessions, sql, user_links
from app.adapters.arrays import joined_texts
from app.adapters.history_cache import Versioned
from app.adapters.postgres import Database
from app.adapters.postgres_errors import is_too_large
from app.core.batch_size import BatchSize
from app.core.erasure import LastErasure
from app.core.persons import erased_together

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)

_BATCH: Final = 5000
# What is more than that begins small: an erasure that others go on with must not begin with what takes too long.
_FIRST_BATCH: Final = 50
_BATCH_SEC: Final = 0.4
_WRITERS_TIMEOUT_SEC: Final = 5.0
_POLL_SEC: Final = 0.01
# The process that began an erasure is finishing it until then.
_LEFT_ALONE_SEC: Final = 2 * _WRITERS_TIMEOUT_SEC
_UNFINISHED_MAX: Final = 100


class Erasure(Struct, frozen=True):
    """`number`: among the erasures of all users."""

    user_id: str
    number: int
    erased_at: datetime


class BegunErasures(Struct, frozen=True):
    """Erasures of one person. `histories`: what the cache is to hold from now on of these users, and of those whose
    history had one of theirs joined into it.
    """

    erasures: list[Erasure]
    histories: dict[str, Versioned]


class Removed(Struct):
    """Numbers of rows."""

    events: int = 0
    queued: int = 0
    dead_letters: int = 0


async def begin(connection: "Connection", user_id: str) -> BegunErasures:
    """Removes what was counted of a user, and of the ids that are linked to the user's, and numbers an erasure of each
    id, in one transaction. The erasure of the given id comes first.

    The histories are locked first, as the consumer does: a batch has counted before, and that goes, or it counts after,
    and reads the new number. An insert may see the number before the commit: its event counts after the commit.
    """
    begun = BegunErasures([], {})
    async with connection.transaction():
        ids, locked = await _lock_person(connection, user_id)
        await user_links.forget(connection, ids)
        await sessions.erase(connection, ids)
        for erased_id in sorted(ids, key=lambda erased_id: (erased_id != user_id, erased_id)):
            await connection.execute(_SQL["erase_history"], erased_id)
            row = await connection.fetchrow(_SQL["remember"], erased_id)
            assert row is not None  # an upsert returns its row
            await changes.record_erasure(connection, erased_id)
            begun.erasures.append(Erasure(erased_id, *row))
            # An empty history with a greater version: what is written late does not win.
            begun.histories[erased_id] = Versioned(locked[erased_id].version + 1, b"")
        if others := {one: locked[one].history for one in locked.keys() - ids}:
            # Other accounts of a shared device: a batch that has counted before may write an older version to the cache
            # later, which still names the erased id.
            await features.write_histories(connection, others)
            joined = await user_links.joined(connection, others)
            for one, history in others.items():
                begun.histories[one] = Versioned(locked[one].version + 1, history, joined.get(one, ()))
    return begun


async def _lock_person(connection: "Connection", user_id: str) -> tuple[frozenset[str], dict[str, Versioned]]:
    """The ids that go together, and their histories, locked in one statement, so that nobody waits for the other. So
    are those that have one of them joined into theirs.
    """
    while True:
        ids, others = await _person(connection, user_id)
        locking = connection.transaction()
        await locking.start()
        locked = await features.lock_histories(connection, [*ids, *others])
        if await _person(connection, user_id) == (ids, others):
            await locking.commit()
            return ids, locked
        await locking.rollback()  # with the locks: a link was made or undone before we had them


async def _person(connection: "Connection", user_id: str) -> tuple[frozenset[str], frozenset[str]]:
    """The ids that are erased together, and the other accounts that these are linked to."""
    ids = erased_together(user_id, await user_links.around(connection, user_id))
    return ids, await user_links.accounts_of(connection, ids) - ids


async def finish(database: Database, erasures: Sequence[Erasure]) -> Removed:
    """Removes the rows of before these erasures, once the transactions that write such rows have ended.

    Call it when the cache has forgotten the users: what a process has read there since `begin`, it drops now.
    Waits for those no longer than 5 s, and removes what is committed then; such an erasure stays unfinished, as one
    does when the process dies, and is finished by a later call. Raises `DependencyDown`.
    """
    ended = await await_writers(database, erasures)
    removed = Removed()
    for erasure in erasures:
        await remove(database, erasure, removed, ended=ended)
    return removed


async def await_writers(database: Database, erasures: Sequence[Erasure]) -> bool:
    """The first part of `finish`. False: a transaction that may write rows of before these is still running."""
    async with database.connection() as connection:
        for erasure in erasures:
            await changes.record_erasure(connection, erasure.user_id)
    return await _writers_end(database)


async def remove(
    database: Database, erasure: Erasure, removed: Removed, *, ended: bool, until: float = math.inf
) -> None:
    """The second part: adds to `removed` what goes. `ended`: what the first part returned. Rows that are left `until`
    this time of the monotonic clock are left to a later call.
    """
    async with database.connection() as connection:
        await _in_batches(connection, "empty_batches", until=until)
        await rebuild_locks.await_histories(connection)
        await connection.execute(_SQL["erase_in_building"], erasure.user_id)
        for (run,) in await connection.fetch(_SQL["runs_of_user"], erasure.user_id):
            await connection.execute(_SQL["erase_in_run"], run, erasure.user_id)
        of_user = erasure.user_id, erasure.number, erasure.erased_at
        removed.events += await _in_batches(connection, "delete_events", *of_user, until=until)
        removed.queued += await _in_batches(connection, "delete_queued", *of_user, until=until)
        removed.dead_letters += await _in_batches(connection, "delete_dead_letters", *of_user, until=until)
        if ended and time.monotonic() < until:
            await connection.execute(_SQL["finish"], erasure.user_id, erasure.number, erasure.erased_at)


async def unfinished(connection: "Connection", *, after: int = 0) -> list[Erasure]:
    """Up to 100 that nobody is finishing, by their numbers: first those above `after`."""
    rows = await connection.fetch(_SQL["unfinished"], _LEFT_ALONE_SEC, _UNFINISHED_MAX, after)
    return [Erasure(*row) for row in rows]


async def newest(connection: "Connection") -> int:
    """The number of the last erasure of any user, 0 without any: what is received now comes after it."""
    found: int = await connection.fetchval(_SQL["newest"])
    return found


async def last(connection: "Connection", user_ids: Collection[str]) -> dict[str, LastErasure]:
    """The last erasure of those of the users who were erased. Writers of their rows lock these or the tables first."""
    rows = await connection.fetch(_SQL["last"], joined_texts(user_ids))
    return {user_id: LastErasure(number, erased_ms) for user_id, number, erased_ms in rows}


async def _writers_end(database: Database) -> bool:
    """Waits until all transactions have ended that write rows of users now; False when one is still running."""
    deadline = time.monotonic() + _WRITERS_TIMEOUT_SEC
    async with database.connection() as connection:
        writers = [row[0] for row in await connection.fetch(_SQL["writers"])]
    while writers:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_SEC)
        async with database.connection() as connection:
            writers = [row[0] for row in await connection.fetch(_SQL["running"], writers)]
    return True


async def _in_batches(connection: "Connection", statement: str, *args: Any, until: float) -> int:
    """How many rows it changed, batch by batch, so that no number of rows takes a statement too long."""
    changed, size = 0, BatchSize(_BATCH, _BATCH_SEC, limit=_FIRST_BATCH)
    while (started := time.monotonic()) < until:
        limit = size.limit
        try:
            batch = await connection.fetchval(_SQL[statement], *args, limit)
        except asyncpg.PostgresError as error:
            if not is_too_large(error) or limit == 1:
                raise
            size.too_large(limit)
            continue
        changed += batch
        if batch < limit:
            break
        size.fitted(batch, time.monotonic() - started)
    return changed
