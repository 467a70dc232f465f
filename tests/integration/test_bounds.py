"""What keeps the table of pairs bounded: weak pairs leave it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from app import metrics
from app.adapters import features, pair_bounds
from app.adapters.pair_bounds import CrowdedItem
from app.adapters.postgres import Database
from app.errors import TooLarge
from tests.support.folded_pairs import folded_pairs
from tests.support.pipeline import counted, database, keeping
from tests.support.rebuilding import log, rebuilt, store_and_count
from workers import pair_pruner
from workers.batch import FeatureWriter
from workers.pair_pruner import PairPruner
from workers.retention import RetentionOptions

Pool = asyncpg.Pool
OLD = "interval '500 days'"
KEEP = keeping(pairs_per_item=300)


async def plant_items(pool: Pool, count: int) -> None:
    """Items 1 to `count`, all alike."""
    await pool.execute(
        "INSERT INTO item_stats (item_id, frequency, events, users, popular_ms) SELECT 'item-' || n, 10, 10, 10, "
        "extract(EPOCH FROM now()) * 1000 FROM generate_series(1, $1::integer) AS s (n)",
        count,
    )


async def plant_pairs(pool: Pool, days: int) -> None:
    """Each two items met, those with near numbers more often; first so many days ago."""
    await pool.execute(
        "INSERT INTO item_pairs (item_a, item_b, weight, created_minute) SELECT a.item_key, b.item_key, "
        "1.0 / (b.item_key - a.item_key), extract(EPOCH FROM now()) / 60 - $1::integer * 1440 "
        "FROM item_stats AS a JOIN item_stats AS b ON a.item_key < b.item_key",
        days,
    )


async def walk(pool: Pool, opened: Database, keep: RetentionOptions = KEEP) -> int:
    """A whole walk over the pairs; returns how many it deleted."""
    await pool.execute("UPDATE table_walks SET position = 0, began_at = '-infinity'")
    pruner, deleted = PairPruner(opened, keep), 0
    while True:
        deleted += await pruner.sweep()
        if await pool.fetchval("SELECT position FROM table_walks WHERE walk = 'item_pairs'") == 0:
            return deleted


async def test_old_pairs_beyond_the_best_of_each_item_go(pool: Pool, database_url: str) -> None:
    await plant_items(pool, 500)
    await plant_pairs(pool, days=30)
    before = counted(metrics.MAINTENANCE_DELETED, table="item_pairs")
    async with database(database_url) as opened:
        deleted = await walk(pool, opened) + await walk(pool, opened)
        assert await walk(pool, opened) == 0
    left = await pool.fetchval("SELECT count(*) FROM item_pairs")
    assert deleted == 500 * 499 // 2 - left > 0
    assert counted(metrics.MAINTENANCE_DELETED, table="item_pairs") == before + deleted
    assert left <= 500 * 300
    # The neighbours of an item in the middle of the row, and of the first: all of their 300 best.
    for item, near in ((250, range(100, 401)), (1, range(1, 302))):
        kept = await pool.fetch("SELECT item_a + item_b - $1 FROM item_pairs WHERE $1 IN (item_a, item_b)", item)
        assert {key for (key,) in kept} >= set(near) - {item}


async def test_an_item_whose_pairs_are_all_gone_has_no_floor(pool: Pool, database_url: str) -> None:
    """As one that was gone for long, and cannot be removed while a rebuild is unfinished."""
    await plant_items(pool, 2)
    await pool.execute("UPDATE item_stats SET pair_floor = 0.5 WHERE item_id = 'item-1'")
    async with database(database_url) as opened:
        assert await walk(pool, opened) == 0
    assert await pool.fetchval("SELECT max(pair_floor) FROM item_stats") == 0.0


async def test_young_pairs_stay(pool: Pool, database_url: str) -> None:
    await plant_items(pool, 400)
    await plant_pairs(pool, days=6)
    async with database(database_url) as opened:
        assert await walk(pool, opened) + await walk(pool, opened) == 0


@pytest.mark.slow
async def test_pairs_that_a_rebuild_has_made_go_from_the_first_walks_on(
    database_url: str, opened: Database, pool: Pool
) -> None:
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), log(1_000))
    await rebuilt(database_url)
    keep = keeping(pairs_per_item=5)
    items, pairs = await pool.fetchrow("SELECT (SELECT count(*) FROM item_stats), (SELECT count(*) FROM item_pairs)")
    assert pairs > items * keep.pairs_per_item
    deleted = await walk(pool, opened, keep) + await walk(pool, opened, keep)
    assert 0 < pairs - deleted <= items * keep.pairs_per_item
    # Those that are met from now on are young.
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), log(200, first=20_000))
    assert await pool.fetchval("SELECT count(*) FROM item_pairs") > items * keep.pairs_per_item
    young = await pool.fetchval("SELECT count(*) FROM item_pairs WHERE created_minute > 0")
    await walk(pool, opened, keep)
    await walk(pool, opened, keep)
    assert await pool.fetchval("SELECT count(*) FROM item_pairs WHERE created_minute > 0") == young > 0


async def test_a_pair_that_is_being_added_to_stays_and_nobody_waits(pool: Pool, database_url: str) -> None:
    await plant_items(pool, 400)
    await plant_pairs(pool, days=30)
    pairs = [(f"item-{n}", "item-400") for n in range(1, 90)]  # far from item 400, and all but the first from n
    async with database(database_url) as opened:
        await walk(pool, opened)
        async with pool.acquire() as connection, connection.transaction():
            keys = await features.ItemKeys().of(connection, {item for pair in pairs for item in pair})
            met = folded_pairs({pair: [0.0, 1.0, 0.0, 0.0] for pair in pairs})
            await features.add_to_pairs(connection, met, keys)
            async with asyncio.timeout(20.0):
                await walk(pool, opened)
                await walk(pool, opened)
    assert await pool.fetchval("SELECT count(*) FROM item_pairs WHERE item_b = 400 AND met = 1") == 89


async def test_an_item_whose_pairs_take_too_long_is_passed_over(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[int] = []

    async def read(_: object, keys: Sequence[int], **__: object) -> list[CrowdedItem]:
        if 3 in keys:
            raise TooLarge("postgres", "canceling statement due to statement timeout")
        judged.extend(keys)
        return []

    monkeypatch.setattr(pair_bounds, "read_crowded", read)
    await plant_items(pool, 5)
    async with database(database_url) as opened:
        pruner = PairPruner(opened, KEEP)
        with pytest.raises(TooLarge):
            await pruner.sweep()
        await pruner.sweep()
    assert judged == [1, 2, 4, 5]
    assert await pool.fetchval("SELECT position FROM table_walks WHERE walk = 'item_pairs'") == 0


@pytest.mark.slow
async def test_two_pruners_do_the_work_of_one(pool: Pool, database_url: str) -> None:
    await plant_items(pool, 500)
    await plant_pairs(pool, days=30)
    async with database(database_url) as opened, database(database_url) as other:
        alone = await walk(pool, opened)
        both = await asyncio.gather(walk(pool, opened), PairPruner(other, KEEP).sweep())
        assert alone + sum(both) == 500 * 499 // 2 - await pool.fetchval("SELECT count(*) FROM item_pairs")


async def test_pairs_go_in_small_steps(pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer waits for the end of a step where it adds to a pair that is being deleted."""
    monkeypatch.setattr(pair_pruner, "_PAIRS", 20)
    monkeypatch.setattr(pair_pruner, "_STEP_SEC", 0.0)
    await plant_items(pool, 350)
    await plant_pairs(pool, days=30)
    before = await pool.fetchval("SELECT count(*) FROM item_pairs")
    steps: list[int] = []
    prune = pair_bounds.prune

    async def pruned(*arguments: Any, **options: Any) -> int:
        steps.append(await prune(*arguments, **options))
        return steps[-1]

    monkeypatch.setattr(pair_bounds, "prune", pruned)
    async with database(database_url) as opened:
        for _ in range(3):
            await walk(pool, opened)
        assert max(steps) == 20
        monkeypatch.undo()
        assert await walk(pool, opened) == 0
    assert sum(steps) == before - await pool.fetchval("SELECT count(*) FROM item_pairs") > 1_000


async def test_many_pairs_of_an_item_are_judged_once(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_pruner, "_PAIRS", 20)
    monkeypatch.setattr(pair_pruner, "_STEP_SEC", 60.0)
    await plant_items(pool, 350)
    await plant_pairs(pool, days=30)
    judged: list[int] = []
    read = pair_bounds.read_crowded

    async def once(connection: Any, keys: Sequence[int], **options: Any) -> list[CrowdedItem]:
        judged.extend(keys)
        return await read(connection, keys, **options)

    monkeypatch.setattr(pair_bounds, "read_crowded", once)
    async with database(database_url) as opened:
        assert await walk(pool, opened) > 1_000
        assert sorted(judged) == list(range(1, 351))
        monkeypatch.undo()
        await walk(pool, opened)
        assert await walk(pool, opened) == 0
