"""Users whose history in the cache may be older than in Postgres, because writing it through failed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.adapters import sql

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL = sql.load(__file__)


async def record(connection: "Connection", user_ids: Sequence[str]) -> None:
    await connection.execute(_SQL["record"], user_ids)


async def take(connection: "Connection", limit: int) -> list[str]:
    """Removes up to `limit` of them and returns them. In a transaction that ends after the cache was written."""
    return [row[0] for row in await connection.fetch(_SQL["take"], limit)]
