"""Histories, links and items that are gone leave their tables, whoever counts meanwhile."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

import workers.gone
from app import metrics
from app.adapters import gone
from tests.support.consuming import incoming
from tests.support.pipeline import counted, database, keeping, message
from workers.batch import FeatureWriter
from workers.gone import GoneRemover
from workers.incoming import Incoming

Pool = asyncpg.Pool
OLD = "interval '500 days'"
LONG_AGO_MS = "(extract(EPOCH FROM now() - interval '500 days') * 1000)::bigint"
KEEP = keeping(pairs_per_item=300)


def viewed(user_id: str, *item_ids: str) -> list[Incoming]:
    """Views of these items, one after the other, as the consumer polls them."""
    now_ms = time.time_ns() // 1_000_000
    return incoming(
        *(
            message(f"viewed-{user_id}-{item_id}", user_id=user_id, item_id=item_id, ts_ms=now_ms + place)
            for place, item_id in enumerate(item_ids)
        )
    )


async def test_histories_of_users_who_are_gone_go(pool: Pool, database_url: str) -> None:
    await pool.execute(
        "INSERT INTO user_history (user_id, history, updated_at) SELECT 'user-' || n, 'x', "
        f"CASE WHEN n % 2 = 0 THEN now() ELSE now() - {OLD} END FROM generate_series(1, 3000) AS s (n)"
    )
    before = counted(metrics.MAINTENANCE_DELETED, table="user_history")
    async with database(database_url) as opened:
        await GoneRemover(opened, KEEP).sweep()
    assert await pool.fetchval("SELECT count(*) FROM user_history") == 1500
    assert counted(metrics.MAINTENANCE_DELETED, table="user_history") == before + 1500


async def test_links_of_ids_that_nothing_is_left_of_go(pool: Pool, database_url: str) -> None:
    """Also of ids that never had a history, as those of users who log in at once."""
    async with database(database_url) as opened:
        ids = ("at-once", "young", "sent", "known")
        named = [message(f"event-of-{name}", user_id="ann", anonymous_id=name) for name in ids]
        assert (await FeatureWriter(opened, max_retries=1).apply(incoming(*named))).counted == 4
        assert await pool.fetchval("SELECT count(*) FROM user_links") == 4
        await pool.execute(f"UPDATE user_links SET linked_at = now() - {OLD} WHERE anonymous_id <> 'young'")
        await pool.execute(
            "INSERT INTO user_history (user_id, history) VALUES ('known', 'x');"
            "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload) "
            "VALUES ('event-0001', 'view', 'sent', 's', 1, '', '{}')"
        )
        before = counted(metrics.MAINTENANCE_DELETED, table="user_links")
        await GoneRemover(opened, KEEP).sweep()
    left = await pool.fetchval("SELECT array_agg(anonymous_id ORDER BY anonymous_id) FROM user_links")
    assert left == ["known", "sent", "young"]
    assert counted(metrics.MAINTENANCE_DELETED, table="user_links") == before + 1


async def test_items_that_were_not_shown_for_long_go(pool: Pool, database_url: str) -> None:
    today = "(now() AT TIME ZONE 'UTC')::date"
    await pool.execute(
        f"INSERT INTO analytics_items SELECT 's', 'm', n::text, {today} - n % 2 * 41 "
        "FROM generate_series(1, 3000) AS s (n);"
        f"INSERT INTO analytics_items VALUES ('s', 'm', 'just', {today} - 40)"
    )
    before = counted(metrics.MAINTENANCE_DELETED, table="analytics_items")
    async with database(database_url) as opened:
        await GoneRemover(opened, KEEP).sweep()
    assert await pool.fetchval("SELECT count(*) FROM analytics_items") == 1501
    assert counted(metrics.MAINTENANCE_DELETED, table="analytics_items") == before + 1500


async def plant_gone_items(pool: Pool) -> None:
    """`gone` has a pair; `listed` is in the catalogue, `imported` came of late, `wanted` had an event today."""
    await pool.execute(
        "INSERT INTO item_stats (item_key, item_id, frequency, popular_ms, created_at) VALUES "
        f"(101, 'gone', 1, {LONG_AGO_MS}, now() - {OLD}), (102, 'listed', 1, {LONG_AGO_MS}, now() - {OLD}), "
        f"(103, 'imported', 1, {LONG_AGO_MS}, now()), "
        f"(104, 'wanted', 1, extract(EPOCH FROM now()) * 1000, now() - {OLD}); "
        "INSERT INTO item_pairs (item_a, item_b, weight) VALUES (101, 104, 1), (102, 104, 1); "
        "INSERT INTO items (item_id) VALUES ('listed')"
    )


async def test_items_that_are_gone_go_with_their_pairs(pool: Pool, database_url: str) -> None:
    await plant_gone_items(pool)
    async with database(database_url) as opened:
        await GoneRemover(opened, KEEP).sweep()
    assert await pool.fetchval("SELECT array_agg(item_id ORDER BY item_key) FROM item_stats") == [
        "listed",
        "imported",
        "wanted",
    ]
    assert await pool.fetch("SELECT item_a, item_b FROM item_pairs") == [(102, 104)]


async def test_histories_that_cannot_be_removed_hold_up_no_items(pool: Pool, database_url: str) -> None:
    """A trigger refuses it, as damage on the disk would."""
    await plant_gone_items(pool)
    await pool.execute(
        f"INSERT INTO user_history (user_id, history, updated_at) VALUES ('bad', 'x', now() - {OLD});"
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'mine'; END $$;"
        "CREATE TRIGGER refuse BEFORE DELETE ON user_history FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    async with database(database_url) as opened:
        with pytest.raises(asyncpg.RaiseError, match="mine"):
            await GoneRemover(opened, KEEP).sweep()
    assert await pool.fetchval("SELECT count(*) FROM item_stats") == 3


async def test_items_go_although_others_count_all_the_time(pool: Pool, database_url: str) -> None:
    """Each transaction that counts begins before the one before it ends, and takes longer than the first waits."""
    await plant_gone_items(pool)
    begun, done = asyncio.Event(), asyncio.Event()

    async def count(offset_sec: float) -> None:
        await asyncio.sleep(offset_sec)
        while not done.is_set():
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("INSERT INTO feature_event_consumed (event_id) VALUES (gen_random_uuid())")
                begun.set()
                await asyncio.sleep(0.3)

    async with database(database_url) as opened, asyncio.TaskGroup() as counting:
        for offset_sec in (0.0, 0.15):
            counting.create_task(count(offset_sec))
        await begun.wait()
        remover = GoneRemover(opened, keeping(lock_timeout_ms=10_000))
        while await pool.fetchval("SELECT count(*) FROM item_stats") == 4:
            await remover.sweep()
        done.set()
    assert await pool.fetchval("SELECT count(*) FROM item_stats") == 3


async def test_pairs_of_a_gone_item_are_nobodys_to_wait_for(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are deleted for good before the removal of their item waits for who counts, who may add to one of them."""
    monkeypatch.setattr(workers.gone, "_WAIT_MS", 15_000)
    monkeypatch.setattr(workers.gone, "_LONGEST_WAIT_MS", 15_000)
    await plant_gone_items(pool)
    async with (
        database(database_url) as opened,
        asyncio.TaskGroup() as removing,
        pool.acquire() as connection,
        connection.transaction(),
    ):
        await connection.execute("INSERT INTO feature_event_consumed (event_id) VALUES ('counts')")
        waiting = removing.create_task(GoneRemover(opened, keeping(lock_timeout_ms=30_000)).sweep())
        while await pool.fetchval("SELECT count(*) FROM item_pairs") == 2:
            await asyncio.sleep(0.01)
        await connection.execute(
            "INSERT INTO item_pairs (item_a, item_b, weight) VALUES (101, 104, 1) "
            "ON CONFLICT (item_a, item_b) DO UPDATE SET weight = item_pairs.weight + 1"
        )
        assert not waiting.done()
    async with database(database_url) as opened:
        await GoneRemover(opened, KEEP).sweep()
    assert await pool.fetchval("SELECT count(*) FROM item_stats") == 3
    assert await pool.fetchval("SELECT count(*) FROM item_pairs") == 1


@pytest.mark.parametrize(("slow", "then"), [("stop_counting", 100), ("remove_items", 50)])
async def test_steps_get_smaller_for_slow_work_and_not_for_a_long_wait(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch, slow: str, then: int
) -> None:
    """A step takes 100 of the items that are gone, and half as many after one whose work was slow."""
    asked: list[int] = []
    wait, remove = gone.stop_counting, gone.remove_items

    async def slowly(name: str) -> None:
        if name == slow and not asked[1:]:
            await asyncio.sleep(workers.gone._STEP_SEC + 0.1)

    async def waited(connection: Any, **options: Any) -> bool:
        await slowly("stop_counting")
        return await wait(connection, **options)

    async def removed(connection: Any, keys: Sequence[int], **options: Any) -> int:
        asked.append(len(keys))
        await slowly("remove_items")
        return await remove(connection, keys, **options)

    monkeypatch.setattr(gone, "stop_counting", waited)
    monkeypatch.setattr(gone, "remove_items", removed)
    monkeypatch.setattr(workers.gone, "_TURN_SEC", 20.0)
    await pool.execute(
        "INSERT INTO item_stats (item_id, frequency, popular_ms, created_at) "
        f"SELECT 'gone-' || n, 1, {LONG_AGO_MS}, now() - {OLD} FROM generate_series(1, 300) AS s (n)"
    )
    async with database(database_url) as opened:
        await GoneRemover(opened, KEEP).sweep()
    assert asked[:2] == [100, then]
    assert await pool.fetchval("SELECT count(*) FROM item_stats") == 0


@pytest.mark.parametrize(("lock_timeout_ms", "waits"), [(1000, [100, 200, 400, 500]), (150, [75])])
async def test_removal_waits_less_than_others_do_and_less_often_where_that_is_too_short(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch, lock_timeout_ms: int, waits: Sequence[int]
) -> None:
    asked: list[int] = []

    async def stop_counting(_: object, *, wait_ms: int) -> bool:
        asked.append(wait_ms)
        raise asyncpg.LockNotAvailableError("canceling statement due to lock timeout")

    monkeypatch.setattr(gone, "stop_counting", stop_counting)
    await plant_gone_items(pool)
    async with database(database_url) as opened:
        remover = GoneRemover(opened, keeping(lock_timeout_ms=lock_timeout_ms))
        for _ in range(8):
            await remover.sweep()
        assert asked == waits
        remover._removes_at = 0.0
        await remover.sweep()
        assert asked == [*waits, waits[-1]]


async def test_items_stay_while_a_rebuild_has_copied_their_keys(pool: Pool, database_url: str) -> None:
    await plant_gone_items(pool)
    await pool.execute("INSERT INTO feature_generations (generation, state, parameters) VALUES (7, 'building', '{}')")
    async with database(database_url) as opened:
        await GoneRemover(opened, KEEP).sweep()
        assert await pool.fetchval("SELECT count(*) FROM item_stats") == 4
        await pool.execute("DELETE FROM feature_generations")
        await GoneRemover(opened, KEEP).sweep()
    assert await pool.fetchval("SELECT count(*) FROM item_stats") == 3


async def test_a_consumer_that_knew_the_key_of_a_gone_item_counts_it_anew(pool: Pool, database_url: str) -> None:
    async with database(database_url) as opened, database(database_url) as other:
        old, fresh = FeatureWriter(opened, max_retries=1), FeatureWriter(other, max_retries=1)
        await old.apply(viewed("ann", "gone", "wanted"))
        await pool.execute(
            f"UPDATE item_stats SET popular_ms = {LONG_AGO_MS}, created_at = now() - {OLD} WHERE item_id = 'gone'"
        )
        await GoneRemover(opened, KEEP).sweep()
        assert await pool.fetchval("SELECT count(*) FROM item_pairs") == 0
        # The other one gives the item a new key.
        assert (await fresh.apply(viewed("bob", "gone"))).counted == 1
        assert (await old.apply(viewed("cid", "gone", "wanted"))).counted == 2
    rows = await pool.fetch("SELECT item_id, views FROM item_stats ORDER BY item_id")
    assert [tuple(row) for row in rows] == [("gone", 2), ("wanted", 2)]
    assert (
        await pool.fetchval(
            "SELECT count(*) FROM item_pairs AS p JOIN item_stats AS a ON a.item_key = p.item_a "
            "JOIN item_stats AS b ON b.item_key = p.item_b"
        )
        == 1
    )


async def test_a_history_with_a_gone_item_makes_no_pair_with_it(pool: Pool, database_url: str) -> None:
    async with database(database_url) as opened:
        writer = FeatureWriter(opened, max_retries=1)
        await writer.apply(viewed("ann", "gone", "wanted"))
        await pool.execute(
            f"UPDATE item_stats SET popular_ms = {LONG_AGO_MS}, created_at = now() - {OLD} WHERE item_id = 'gone'"
        )
        await GoneRemover(opened, KEEP).sweep()
        assert (await writer.apply(viewed("ann", "new"))).counted == 1
    assert await pool.fetchval("SELECT array_agg(item_id ORDER BY item_id) FROM item_stats") == ["new", "wanted"]
    assert await pool.fetchval("SELECT count(*) FROM item_pairs") == 1
