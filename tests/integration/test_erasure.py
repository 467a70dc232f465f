"""Erasure of a user: what came before is gone everywhere and never counts; what comes after is new."""

import asyncio

import asyncpg
import pytest
import redis

from app.adapters import erasures, features, outbox, user_links
from app.adapters.ingest import insert_events
from app.adapters.postgres import Database
from app.core import cache_entry
from app.core.persons import Link
from app.settings import Settings
from tests.support.api import serving, watch
from tests.support.erasing import HOUR_MS, Pool, consume, finish_left_over, history, queued, record, unfinished
from tests.support.pipeline import message, until


async def test_erasure_is_everywhere_and_stays(
    settings: Settings, opened: Database, pool: Pool, redis_url: str
) -> None:
    async with serving(settings) as client:
        await client.put("/attributes/picture_url", json={"type": "text"})
        await client.put("/items/alien", json={"title": "Alien", "attributes": {"picture_url": "https://pic.example"}})
        for item_id in ("alien", "heat"):
            assert (await client.post("/log/watch", json=watch(item_id=item_id))).status_code == 202
        before = await queued(pool)
        assert await consume(opened, before[:1]) == 1
        assert (await client.get("/reco?user_id=ann")).status_code == 200  # which caches the history

        stored = (await client.get("/users/ann?limit=1")).json()
        assert (stored["events"], stored["queued"], len(stored["latest"])) == (2, 2, 1)
        (entry,) = stored["history"]
        assert (entry["item_id"], entry["title"], entry["picture_url"]) == ("alien", "Alien", "https://pic.example")
        assert stored["history"][0]["kind"] == "watch"

        await pool.execute(
            "INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, value, error_kind, "
            "error, attempts) VALUES ('t', 0, 7, 1, 'ann, and others', 'batch', 'no checksum', 1)"
        )

        erased = (await client.delete("/users/ann")).json()
        assert (erased["events"], erased["queued"]) == (2, 2)
        assert (await client.get("/users/ann")).status_code == 404
        assert await pool.fetchval("SELECT count(*) FROM user_history") == 0
        assert await unfinished(pool) == 0
        # Whose messages are in a batch that cannot be read nobody knows.
        assert await pool.fetch("SELECT record_offset, value FROM feature_consumer_dlq") == [(7, None)]
        with redis.Redis.from_url(redis_url) as cache:
            epoch = await pool.fetchval("SELECT epoch FROM cache_epoch")
            (cached,) = (
                cache_entry.decode_history(cache.get(key), epoch) for key in cache.keys("*reco:history.v3:ann")
            )
            assert cached is not None
            assert cached[1] == b""

        assert await consume(opened, before) == 0
        assert await pool.fetchval("SELECT count(*) FROM user_history") == 0, "a row of the erased id came back"
        assert (await client.post("/log/watch", json=watch(item_id="heat"))).status_code == 202
        assert await consume(opened, await queued(pool)) == 1
        assert await history(client) == ["heat"]


async def test_sums_that_a_rebuild_has_swapped_out_and_not_dropped_are_erased_too(
    settings: Settings, opened: Database, pool: Pool
) -> None:
    """As a rebuild leaves them that dies after its swap, or while somebody reads the tables."""
    async with serving(settings) as client:
        assert (await client.post("/log/watch", json=watch())).status_code == 202
        assert await consume(opened, await queued(pool)) == 1
        await pool.execute("CREATE SCHEMA reco_retired")
        await pool.execute("CREATE TABLE reco_retired.user_history AS SELECT * FROM user_history")
        assert (await client.delete("/users/ann")).status_code == 200
        assert await pool.fetchval("SELECT count(*) FROM reco_retired.user_history") == 0


@pytest.mark.parametrize("off_ms", [-HOUR_MS, HOUR_MS])
async def test_an_api_clock_an_hour_off_neither_loses_nor_brings_back(
    settings: Settings, opened: Database, pool: Pool, off_ms: int
) -> None:
    async with serving(settings) as client:
        for again in range(2):
            assert (await client.post("/log/watch", json=watch(item_id=f"before-{again}"))).status_code == 202
            before = await queued(pool)
            assert (await client.delete("/users/ann")).status_code == 200
            assert (await client.post("/log/watch", json=watch(item_id=f"after-{again}"))).status_code == 202
            assert await consume(opened, before, received_off_ms=off_ms) == 0
            assert await consume(opened, await queued(pool), received_off_ms=off_ms) == 1
            assert await history(client) == [f"after-{again}"]


async def test_an_event_sent_again_after_the_erasure_is_new(settings: Settings, opened: Database, pool: Pool) -> None:
    body = watch(event_id="event-0001")
    async with serving(settings) as client:
        await client.post("/log/watch", json=body)
        counted = await queued(pool)
        assert await consume(opened, counted) == 1
        await client.delete("/users/ann")
        assert (await client.post("/log/watch", json=body)).status_code == 202
        # The copy of before comes again, in the same batch and before the new one.
        assert await consume(opened, [*counted, *await queued(pool)]) == 1
        assert await consume(opened, [*counted, *await queued(pool)]) == 0
        assert await history(client) == ["alien"]


async def test_an_insert_that_is_under_way_is_erased_before_the_answer(
    settings: Settings, database_url: str, pool: Pool
) -> None:
    writer = await asyncpg.connect(database_url)
    transaction = writer.transaction()
    await transaction.start()
    await insert_events(writer, [record("ann")])
    async with serving(settings) as client:
        erasing = asyncio.create_task(client.delete("/users/ann"))
        await until(lambda: pool.fetchval("SELECT count(*) FROM user_erasures"))
        await insert_events(writer, [record("bob")])
        assert not erasing.done()
        await transaction.commit()
        answer = (await erasing).json()
    await writer.close()
    assert (answer["events"], answer["queued"]) == (1, 1)
    assert await pool.fetchval("SELECT array_agg(user_id) FROM events") == ["bob"]
    assert await unfinished(pool) == 0


async def test_an_insert_that_outlasts_the_wait_is_erased_by_maintenance(
    settings: Settings, opened: Database, database_url: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "_WRITERS_TIMEOUT_SEC", 0.0)
    writer = await asyncpg.connect(database_url)
    transaction = writer.transaction()
    await transaction.start()
    await insert_events(writer, [record("ann")])
    async with serving(settings) as client:
        assert (await client.delete("/users/ann")).json()["events"] == 0
        await client.post("/log/watch", json=watch(item_id="later"))
    await transaction.commit()
    await writer.close()
    assert await consume(opened, await queued(pool)) == 1
    assert await finish_left_over(opened, pool) == 1
    assert await pool.fetchval("SELECT array_agg(payload ->> 'item_id') FROM events") == ["later"]
    assert await unfinished(pool) == 0
    assert await finish_left_over(opened, pool) == 0


async def test_a_reader_that_stays_does_not_hold_up_an_erasure(
    settings: Settings, database_url: str, pool: Pool
) -> None:
    reader = await asyncpg.connect(database_url)
    async with serving(settings) as client, reader.transaction(isolation="repeatable_read"):
        await reader.fetchval("SELECT count(*) FROM events")
        assert (await client.delete("/users/ann")).status_code == 200
        assert await unfinished(pool) == 0
    await reader.close()


@pytest.mark.parametrize("finished_by", ["the client's retry", "maintenance"])
async def test_a_process_that_dies_between_the_steps_leaves_an_erasure_that_is_finished(
    settings: Settings, opened: Database, pool: Pool, finished_by: str
) -> None:
    async with serving(settings) as client:
        await client.post("/log/watch", json=watch())
        before = await queued(pool)
        assert await consume(opened, before) == 1
        async with opened.connection() as connection:
            await erasures.begin(connection, "ann")
        assert await history(client) == []
        assert await consume(opened, before) == 0
        if finished_by == "maintenance":
            await finish_left_over(opened, pool)  # or the service's own maintenance
            assert await pool.fetchval("SELECT count(*) FROM events") == 0
        else:
            assert (await client.delete("/users/ann")).json()["events"] == 1
        assert (await client.get("/users/ann")).status_code == 404
        assert await unfinished(pool) == 0


async def test_rows_that_a_relay_held_are_erased_when_they_turn_dead(
    settings: Settings, opened: Database, database_url: str, pool: Pool
) -> None:
    relay = await asyncpg.connect(database_url)
    async with serving(settings) as client:
        await client.post("/log/watch", json=watch())
        async with relay.transaction():
            held = await outbox.claim_batch(relay, 10, lease_sec=30.0)
            assert (await client.delete("/users/ann")).json()["queued"] == 0
            assert await unfinished(pool) == 1
            await outbox.reschedule(
                relay, [outbox.Reschedule(row.id, None, "too large") for row in held], process="host-1"
            )
    await relay.close()
    await finish_left_over(opened, pool)
    assert await pool.fetchval("SELECT count(*) FROM event_outbox") == 0
    assert await unfinished(pool) == 0


async def test_accounts_lose_an_erased_id_in_a_version_that_late_writes_are_behind(opened: Database) -> None:
    """A batch that has counted an event of hers before may write her history to the cache after the erasure."""
    async with opened.connection() as connection:
        async with connection.transaction():
            locked = await features.lock_histories(connection, ["eve", "fay", "kiosk"])
            for account in ("eve", "fay"):
                assert await user_links.make(connection, Link("kiosk", account))
        begun = await erasures.begin(connection, "kiosk")
    assert [erasure.user_id for erasure in begun.erasures] == ["kiosk"]
    left = begun.histories["fay"]
    assert (left.history, left.joined) == (locked["fay"].history, ())
    assert left.version > locked["fay"].version


async def test_a_message_of_an_older_release_goes_by_time(opened: Database, pool: Pool) -> None:
    async with opened.connection() as connection:
        [erasure] = (await erasures.begin(connection, "ann")).erasures
    erased_ms = int(erasure.erased_at.timestamp() * 1000)
    assert await consume(opened, [(message("event-0001", received_ms=erased_ms - 1000), None)]) == 0
    assert await consume(opened, [(message("event-0002", received_ms=erased_ms + 1000), None)]) == 1


async def test_rows_of_an_older_release_go_by_the_databases_time(opened: Database, pool: Pool) -> None:
    async with opened.connection() as connection:
        [erasure] = (await erasures.begin(connection, "ann")).erasures
    for event_id, after in (("event-0001", False), ("event-0002", True)):
        await pool.execute(
            "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at) "
            "VALUES ($1, 'view', 'ann', 's', 1, '', '{}', $2::timestamptz + make_interval(secs => $3))",
            event_id,
            erasure.erased_at,
            float(after),
        )
        await pool.execute(
            "INSERT INTO event_outbox (event_id, topic, message_key, payload, created_at) "
            "VALUES ($1, 't', 'ann', '', $2::timestamptz + make_interval(secs => $3))",
            event_id,
            erasure.erased_at,
            float(after),
        )
    removed = await erasures.finish(opened, [erasure])
    assert (removed.events, removed.queued) == (1, 1)
    assert await pool.fetchval("SELECT array_agg(event_id) FROM events") == ["event-0002"]
    assert await pool.fetchval("SELECT array_agg(event_id) FROM event_outbox") == ["event-0002"]


async def test_an_erasure_by_an_older_release_is_counted(opened: Database, pool: Pool) -> None:
    for number in (1, 3):  # a conflict has drawn a number too
        await pool.execute(
            "INSERT INTO user_erasures (user_id, erased_at) VALUES ('ann', clock_timestamp()) "
            "ON CONFLICT (user_id) DO UPDATE SET erased_at = excluded.erased_at"
        )
        async with opened.connection() as connection:
            assert (await erasures.last(connection, ["ann", "bob"])).keys() == {"ann"}
            assert (await erasures.last(connection, ["ann"]))["ann"].number == number
    assert await consume(opened, [(message("event-0001"), 1), (message("event-0002"), 3)]) == 1


async def test_many_rows_are_removed_in_batches(opened: Database, pool: Pool) -> None:
    await pool.execute(
        "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, erasures) "
        "SELECT 'event-' || n, 'view', CASE WHEN n <= 350 THEN 'ann' ELSE 'bob' END, 's', 1, '', '{}', 0 "
        "FROM generate_series(1, 400) AS n"
    )
    async with opened.connection() as connection:
        [erasure] = (await erasures.begin(connection, "ann")).erasures
    assert (await erasures.finish(opened, [erasure])).events == 350
    assert await pool.fetchval("SELECT count(*) FROM events") == 50
    assert await unfinished(pool) == 0
