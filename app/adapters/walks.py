"""Walks over tables that are too large to be scanned at once: how far each is, stored, so that processes share it."""

from typing import TYPE_CHECKING, Final, Literal

from app.adapters import sql

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

Walk = Literal["analytics_items", "item_pairs", "item_stats", "user_history", "user_links"]

_SQL: Final = sql.load(__file__)


async def take(connection: "Connection", walk: Walk, *, every_sec: float) -> int | None:
    """Where the walk goes on, until the transaction ends; 0 at its beginning.

    None: another process walks, or the next walk is not due.
    """
    row = await connection.fetchrow(_SQL["take"], walk, every_sec)
    if row is None:
        return None
    position, due = row
    return position if due else None


async def advance(connection: "Connection", walk: Walk, *, since: int, position: int) -> None:
    """In the transaction of `take`, which returned `since`. Position 0 is the end of the walk."""
    await connection.execute(_SQL["advance"], walk, position, since == 0)


async def blocks_of(connection: "Connection", table: Walk) -> int:
    """How many blocks the table has."""
    blocks: int = await connection.fetchval(_SQL["blocks_of"], table)
    return blocks
