"""Deletes what is left of users and items that are gone or no longer shown, a few blocks of a table a statement."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from app.adapters import rebuild_locks, sql

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)


async def forget_histories(connection: "Connection", first: int, end: int, *, older_sec: float) -> int:
    """Deletes the histories in the blocks `first` to before `end` that did not change for so long; returns how many."""
    return _count(await connection.execute(_SQL["forget_histories"], (first, 0), (end, 0), older_sec))


async def forget_links(connection: "Connection", first: int, end: int, *, older_sec: float) -> int:
    """Deletes the links in these blocks that are so old, and whose anonymous ids nothing is left of; returns how
    many.
    """
    return _count(await connection.execute(_SQL["forget_links"], (first, 0), (end, 0), older_sec))


async def forget_shown(connection: "Connection", first: int, end: int, *, older_sec: float) -> int:
    """Deletes the items in these blocks of `analytics_items` that were not shown for so long; returns how many."""
    return _count(await connection.execute(_SQL["forget_shown"], (first, 0), (end, 0), older_sec))


async def gone_items(connection: "Connection", first: int, end: int, *, older_sec: float, limit: int) -> list[int]:
    """The keys of items in these blocks that are not in the catalogue and had no event for so long."""
    rows = await connection.fetch(_SQL["gone_items"], (first, 0), (end, 0), older_sec, limit)
    return [key for (key,) in rows]


async def delete_pairs(connection: "Connection", keys: Sequence[int], *, limit: int) -> int:
    """Deletes pairs of these items; returns how many."""
    return _count(await connection.execute(_SQL["delete_pairs"], keys, limit))


async def stop_counting(connection: "Connection", *, wait_ms: int) -> bool:
    """Nobody counts from here to the end of the transaction, so that no process adds a pair with a key that is removed;
    consumers read keys again afterwards. False during a rebuild. Raises `LockNotAvailableError` when somebody counts
    for so long.
    """
    if not await connection.fetchval(_SQL["may_remove"]):
        return False
    await rebuild_locks.stop_counting(connection, wait_ms=wait_ms)
    return True


async def remove_items(connection: "Connection", keys: Sequence[int], *, older_sec: float) -> int:
    """Removes those of these items that still are gone and have no pairs; returns how many. In a transaction, after
    `stop_counting`.
    """
    removed = _count(await connection.execute(_SQL["remove_items"], keys, older_sec))
    if removed:
        await connection.execute(_SQL["note_removal"])
    return removed


def _count(status: str) -> int:
    return int(status.removeprefix("DELETE "))
