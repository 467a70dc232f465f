"""Postgres' view of its health: the oldest transaction, which blocks vacuum, and the dead rows that pile up."""

from typing import TYPE_CHECKING

from msgspec import Struct

from app.adapters import sql

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL = sql.load(__file__)


class Statistics(Struct, frozen=True):
    oldest_transaction_sec: float
    dead_rows: dict[str, int]


async def read(connection: "Connection") -> Statistics:
    oldest = await connection.fetchval(_SQL["oldest_transaction"])
    return Statistics(oldest, {row[0]: row[1] for row in await connection.fetch(_SQL["dead_rows"])})
