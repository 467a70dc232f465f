"""Lists of neighbours that Postgres does not read in time."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from app.adapters import features
from app.core.neighbours import NO_NEIGHBOURS
from app.serving.loaded_items import LoadedItems
from app.serving.neighbour_lists import LISTS_A_LOAD, NeighbourLists
from tests.support.consuming import incoming
from tests.support.pipeline import database, message
from workers.batch import FeatureWriter

ITEMS = [f"item-{number:02}" for number in range(LISTS_A_LOAD)]
HUGE = ITEMS[30]


async def test_list_that_takes_too_long_costs_no_other_item_its_list(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_pairs, asked = features.read_pairs, []

    async def slow(connection: Any, item_ids: Sequence[str], **options: Any) -> dict[str, features.ItemPairs]:
        asked.append(len(item_ids))
        if HUGE in item_ids:
            await connection.execute("SELECT pg_sleep(60)")
        return await read_pairs(connection, item_ids, **options)

    monkeypatch.setattr(features, "read_pairs", slow)
    async with database(database_url, statement_timeout_ms=500) as opened:
        events = [message(f"event-{item}", user_id="ann", item_id=item) for item in ITEMS]
        await FeatureWriter(opened, max_retries=1).apply(incoming(*events))
        lists = NeighbourLists(opened, LoadedItems(), refresh_sec=60.0)
        async with asyncio.timeout(60):
            found = await lists.load(ITEMS)
    assert [item for item in ITEMS if found[item] is NO_NEIGHBOURS] == [HUGE]
    assert asked[0] == LISTS_A_LOAD
    assert asked.count(1) >= 1
