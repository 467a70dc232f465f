"""The keys of items: given out once for each item, and read again when items were removed."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from asyncpg import Pool

from app.adapters import features, generations
from app.adapters.features import ItemKeys
from app.adapters.postgres import Database
from tests.support.consuming import incoming
from tests.support.pipeline import message
from workers.batch import FeatureWriter

REMOVED = "UPDATE feature_generations SET removals = removals + 1 WHERE state = 'serving'"


async def test_a_new_item_among_others_uses_up_one_key(opened: Database, pool: Pool) -> None:
    """Also for a process that has read none yet, or too many to keep."""
    items = [f"item-{number}" for number in range(1, 102)]
    async with opened.connection() as connection:
        await ItemKeys().of(connection, items[:-1])
        keys = await ItemKeys().of(connection, items)
    assert keys["item-101"] == await pool.fetchval("SELECT last_value FROM item_stats_item_key_seq") == 101


async def test_removals_in_a_row_cost_no_message(opened: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = FeatureWriter(opened, max_retries=1)
    assert (await writer.apply(incoming(message("event-0001")))).counted == 1
    read, removals = ItemKeys.of, iter(range(6))

    async def of(keys: ItemKeys, connection: Any, item_ids: Iterable[str]) -> Mapping[str, int]:
        found = await read(keys, connection, item_ids)
        for _ in removals:
            assert await pool.execute(REMOVED) == "UPDATE 1"
            break
        return found

    monkeypatch.setattr(features.ItemKeys, "of", of)
    applied = await writer.apply(incoming(message("event-0002")))
    assert (applied.counted, applied.dead) == (1, 0)
    assert not list(removals), "each time that it was tried, items had been removed since"


async def test_no_number_of_removals_comes_again_with_another_generation(opened: Database, pool: Pool) -> None:
    async with opened.connection() as connection, connection.transaction():
        await generations.begin_first(connection)
        for _ in range(3):
            await connection.execute(REMOVED)
        await generations.begin_building(connection, "{}")
        await generations.serve_building(connection)
        found = await generations.serving(connection)
    assert found is not None
    assert found[2] == 4
