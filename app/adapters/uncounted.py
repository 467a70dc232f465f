"""Accepted events that the features do not hold: what lost topics, expired messages and skipped offsets leave."""

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from app.adapters import sql

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL = sql.load(__file__)


async def received_between(connection: "Connection", begin: datetime, end: datetime, limit: int) -> list[str]:
    """The ids of uncounted events received from `begin` to before `end`, at most `limit`."""
    return [row[0] for row in await connection.fetch(_SQL["uncounted"], begin, end, [], limit)]


async def still(connection: "Connection", event_ids: Collection[str]) -> list[str]:
    """Those of these events that are still stored and not counted."""
    return [row[0] for row in await connection.fetch(_SQL["uncounted"], None, None, list(event_ids), len(event_ids))]
