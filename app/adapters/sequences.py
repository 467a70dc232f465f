"""Sequences that are behind their tables: a logical replica was promoted, or rows were restored without them."""

from typing import TYPE_CHECKING

from app.adapters import sql

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL = sql.load(__file__)


async def advance(connection: "Connection") -> list[str]:
    """Sets each sequence that is behind to the highest number in use; returns the names of their tables.

    Sequences only move forward. A table whose sequence is behind is locked for that moment.
    """
    behind = [row[0] for row in await connection.fetch(_SQL["behind"])]
    for table in behind:
        async with connection.transaction():
            await connection.execute(_SQL[f"advance_{table}"])
    return behind


async def refused(connection: "Connection") -> list[str]:
    """The sequences that this connection's user may not read or set, by name."""
    return [name for (name,) in await connection.fetch(_SQL["refused"])]
