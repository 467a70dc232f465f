"""Users whose cached history may be older than Postgres', because writing it through failed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.adapters import sql

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL = sql.load(__file__)


async def record(connection: "Connection", user_ids: Sequence[str]) -> None:
    await connection.execute(_SQL["record"], user_ids)


async def take(connection: "Connection", limit: int) -> list[str]:
    """Removes and returns up to `limit` of them. Commit only after the cache is written."""
    return [row[0] for row in await connection.fetch(_SQL["take"], limit)]
