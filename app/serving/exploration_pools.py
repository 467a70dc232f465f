"""Reads the new items of the catalogue that may be tried out."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app.adapters import catalogue
from app.core import exploration
from app.core.exploration import ExplorationPool

if TYPE_CHECKING:
    from app.adapters.postgres import Connection


async def read_exploration_pool(connection: "Connection", category: str | None) -> ExplorationPool:
    """Of the category; None: of all."""
    since = datetime.now(UTC) - timedelta(milliseconds=exploration.NEW_FOR_MS)
    found = await catalogue.read_new(connection, category, since, exploration.POOL_SIZE, newest=exploration.NEWEST)
    return exploration.exploration_pool_of([(item.item_id, item.impressions, item.responses) for item in found])
