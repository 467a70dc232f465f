"""Sums of items that are named one by one."""

import asyncio

import asyncpg

from app.serving.asked_items import AskedItems
from app.serving.loaded_items import LoadedItems
from tests.support.consuming import incoming
from tests.support.pipeline import database, message, until
from workers.batch import FeatureWriter


async def test_answer_does_not_wait_long_for_own_items(database_url: str, pool: asyncpg.Pool) -> None:
    """They are read meanwhile, for the next one."""
    items = LoadedItems()
    async with database(database_url, statement_timeout_ms=60_000, lock_timeout_ms=60_000) as opened:
        await FeatureWriter(opened, max_retries=1).apply(incoming(message("event-tent", item_id="tent")))
        asked = AskedItems(
            opened, items, ttl_sec=60.0, refresh_sec=60.0, max_keys=10, reload_throttle=0.0, loaded=lambda: None
        )
        try:
            async with asyncio.timeout(30), pool.acquire() as other, other.transaction():
                await other.execute("LOCK TABLE item_stats")
                await asked.have(["tent"])
                assert items.table.index.find("tent") is None

            async def is_there() -> bool:
                await asked.have(["tent"])
                return items.table.index.find("tent") is not None

            await until(is_there)
        finally:
            await asked.cache.close()
