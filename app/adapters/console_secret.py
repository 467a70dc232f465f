"""The secret that signs the sessions of the console; the migration makes it, and all processes share it."""

from typing import TYPE_CHECKING

from app.adapters import sql

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL = sql.load(__file__)


async def read(connection: "Connection") -> bytes:
    secret: bytes = await connection.fetchval(_SQL["read"])
    return secret
