"""Lists of neighbours that are too many for Postgres to read in time."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from app.adapters import features
from app.errors import TooLarge
from app.serving.loaded_items import LoadedItems
from app.serving.neighbour_lists import LISTS_A_LOAD, NeighbourLists
from tests.support.consuming import incoming
from tests.support.pipeline import database, message
from workers.batch import FeatureWriter

ITEMS = [f"item-{number:02}" for number in range(LISTS_A_LOAD)]


async def test_lists_that_take_too_long_together_are_read_in_parts(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each load that fails leaves those who ask again with half as many a statement."""
    read_pairs, asked = features.read_pairs, []

    async def slow(connection: Any, item_ids: Sequence[str], **options: Any) -> dict[str, features.ItemPairs]:
        asked.append(len(item_ids))
        await connection.execute("SELECT pg_sleep($1)", 0.05 * len(item_ids))
        return await read_pairs(connection, item_ids, **options)

    monkeypatch.setattr(features, "read_pairs", slow)
    async with database(database_url, statement_timeout_ms=500) as opened:
        events = [message(f"event-{item}", user_id="ann", item_id=item) for item in ITEMS]
        await FeatureWriter(opened, max_retries=1).apply(incoming(*events))
        lists = NeighbourLists(opened, LoadedItems(), refresh_sec=60.0)
        for _ in range(3):
            with pytest.raises(TooLarge):
                await lists.load(ITEMS)
        async with asyncio.timeout(60):
            found = await lists.load(ITEMS)
    assert asked[:4] == [50, 25, 12, 6]
    assert sorted(found) == ITEMS
