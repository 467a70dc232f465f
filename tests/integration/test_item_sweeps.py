"""The items that a process knows: those of its lists, and none that are in no list any more."""

import asyncpg
import numpy as np
import pytest

from app.adapters.postgres import Database
from app.core.neighbours import Neighbours
from app.serving.candidate_caches import EVERYTHING, CandidateCaches
from tests.support.pipeline import database

ITEMS, GROUP, KEYS = 4_000, 5, 100
# What 100 lists hold and what is popular, and as much again that was read since the last sweep.
MOST = 2 * (KEYS * GROUP + 240)


def group_of(number: int) -> set[str]:
    first = number - number % GROUP
    return {f"item-{other}" for other in range(first, first + GROUP)}


def names(caches: CandidateCaches, near: Neighbours) -> set[str]:
    numbers = {*near.neighbour_entries()["number"].tolist(), *near.follower_entries()["number"].tolist()}
    return {caches.table.index.ids[number] for number in numbers}


def always_swept(opened: Database, *, popularity_ttl_sec: float = 0.001, max_keys: int = KEYS) -> CandidateCaches:
    return CandidateCaches(
        opened,
        related_ttl_sec=300.0,
        popularity_ttl_sec=popularity_ttl_sec,
        max_keys=max_keys,
        catalogue_only=False,
        reload_throttle=0.0,
        sweep_every_sec=0.0,
    )


@pytest.mark.parametrize("category", [EVERYTHING, "rare", None])
async def test_items_that_no_list_holds_leave_and_lists_stay_right(
    pool: asyncpg.Pool, database_url: str, category: str | None
) -> None:
    """Also in a process that is not asked for what is popular, or only by category."""
    await pool.execute("INSERT INTO items (item_id, categories) VALUES ('item-3999', '{rare}')")
    await pool.execute(
        "INSERT INTO item_stats (item_key, item_id, frequency, events, users, popular_ms, popular_week) "
        "SELECT n, 'item-' || n, 10, 10, 10, extract(EPOCH FROM now()) * 1000, n "
        "FROM generate_series(0, $1::integer - 1) AS s (n)",
        ITEMS,
    )
    await pool.execute(
        "INSERT INTO item_pairs (item_a, item_b, weight, a_to_b) SELECT a, b, 5, 5 "
        "FROM generate_series(0, $1::integer - 1) AS s (a) JOIN generate_series(0, $1::integer - 1) AS t (b) "
        "ON a < b AND a / $2::integer = b / $2::integer",
        ITEMS,
        GROUP,
    )
    async with database(database_url) as opened:
        caches = always_swept(opened)
        try:
            for start in range(0, ITEMS, KEYS):
                wanted = [f"item-{number}" for number in range(start, start + KEYS)]
                lists = await caches.neighbours.get_many(wanted, allow_partial=False)
                if category is not None:
                    caches.popular.outdate([category])
                    popular = (await caches.popular.get_many([category], patience_sec=20.0))[category]
                    assert caches.table.index.ids[np.frombuffer(popular.numbers, np.int32)[-1]].startswith("item-39")
                await caches.sweeps.ended()
                for number, item_id in enumerate(wanted, start):
                    assert names(caches, lists[item_id]) == group_of(number) - {item_id}
                assert len(caches.table.index.items) <= MOST
            assert len(caches.table.index.ids) <= 2 * MOST < ITEMS
            # The lists of the beginning are gone as well; they are read again.
            again = await caches.neighbours.get("item-0")
            assert names(caches, again) == group_of(0) - {"item-0"}
        finally:
            await caches.close()


async def test_items_that_were_only_asked_for_leave(pool: asyncpg.Pool, database_url: str) -> None:
    await pool.execute(
        "INSERT INTO item_stats (item_key, item_id, frequency, events, users, popular_ms, popular_week) "
        "SELECT n, 'item-' || n, 10, 10, 10, extract(EPOCH FROM now()) * 1000, 1 "
        "FROM generate_series(0, $1::integer - 1) AS s (n)",
        ITEMS,
    )
    async with database(database_url) as opened:
        caches = always_swept(opened, popularity_ttl_sec=300.0)
        try:
            for start in range(0, ITEMS, KEYS):
                await caches.asked.numbers_of([f"item-{number}" for number in range(start, start + KEYS)])
                await caches.sweeps.ended()
                assert len(caches.table.index.items) <= MOST
        finally:
            await caches.close()


async def test_cold_items_of_the_catalogue_keep_their_numbers(pool: asyncpg.Pool, database_url: str) -> None:
    await pool.execute(
        "INSERT INTO items (item_id, categories) VALUES ('tent', '{a}'), ('lamp', '{a}'), ('mat', '{b}')"
    )
    async with database(database_url) as opened:
        caches = always_swept(opened, max_keys=1)
        try:
            index = await caches.content.get(EVERYTHING)
            for _ in range(3):
                caches.popular.outdate([EVERYTHING])
                await caches.popular.get_many([EVERYTHING], patience_sec=20.0)
                await caches.sweeps.ended()
            assert sorted(index.cold_ids) == ["lamp", "mat", "tent"]
            assert [caches.table.index.find(item_id) for item_id in index.cold_ids] == index.numbers.tolist()
        finally:
            await caches.close()


async def test_first_list_of_a_category_has_what_few_users_took(pool: asyncpg.Pool, database_url: str) -> None:
    """More items are popular in all than a process reads at its start."""
    await pool.execute(
        "INSERT INTO item_stats (item_key, item_id, frequency, events, users, popular_ms, popular_week, popular_day) "
        "SELECT n, 'item-' || n, 10, 10, 10, extract(EPOCH FROM now()) * 1000, n, n "
        "FROM generate_series(1, 600) AS s (n)"
    )
    await pool.execute("INSERT INTO items (item_id, categories) VALUES ('item-1', '{rare}'), ('item-2', '{rare}')")
    async with database(database_url) as opened:
        caches = CandidateCaches(
            opened, related_ttl_sec=300.0, popularity_ttl_sec=300.0, max_keys=KEYS, catalogue_only=False
        )
        try:
            popular = await caches.popular.get("rare")
            by_week = popular.by_half_life()[:, -1].tolist()
            found = zip(np.frombuffer(popular.numbers, np.int32).tolist(), by_week, strict=True)
            assert {caches.table.index.ids[number]: score for number, score in found} == {"item-1": 1.0, "item-2": 2.0}
        finally:
            await caches.close()
