"""The relay against a real Kafka and Postgres, a batch at a time."""

import json
import math
import time

import asyncpg
import pytest
from confluent_kafka import Consumer
from structlog.testing import capture_logs

from app import metrics
from app.adapters import outbox
from app.core.events import TOPIC_WATCHES
from app.errors import DependencyDown
from app.process import process_name
from tests.faults.proxy import proxied_url
from tests.support.pipeline import counted, database, message, queue, relay, rows, running, until

Pool = asyncpg.Pool


async def test_a_batch_is_published_and_deleted(pool: Pool, database_url: str, kafka: str, topic_prefix: str) -> None:
    await queue(pool, [message(f"event-{number:04d}") for number in range(150)])
    published = counted(metrics.RELAY_PUBLISHED)
    lag = counted(metrics.RELAY_EVENT_LAG)
    async with database(database_url) as opened:
        worker = relay(opened, kafka, topic_prefix)
        publisher = worker.publisher()
        first = await worker.relay_batch(publisher)
        second = await worker.relay_batch(publisher)
        third = await worker.relay_batch(publisher)
        await publisher.close()
    assert (first.claimed, first.published, first.more_in_sec) == (100, 100, 0.0)
    assert (second.claimed, second.published) == (50, 50)
    assert (third.claimed, third.more_in_sec) == (0, math.inf)
    assert await rows(pool) == {}
    assert counted(metrics.RELAY_PUBLISHED) == published + 150
    assert counted(metrics.RELAY_EVENT_LAG) == lag + 150


async def test_rows_are_published_by_a_relay_whose_clock_is_wrong(
    pool: Pool, database_url: str, kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brokers refuse timestamps that are an hour ahead of them; the messages' are the database's."""
    await queue(pool, [message("event-0001")])
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 2 * 3600)
    async with database(database_url) as opened:
        worker = relay(opened, kafka, topic_prefix)
        publisher = worker.publisher()
        counts = await worker.relay_batch(publisher)
        await publisher.close()
    assert (counts.published, counts.rescheduled) == (1, 0)


async def test_a_missing_topic_costs_its_row_an_attempt(
    pool: Pool, database_url: str, kafka: str, topic_prefix: str
) -> None:
    await queue(pool, [message("event-lost")], topic="no such topic")
    await queue(pool, [message("event-good")])
    async with database(database_url) as opened:
        worker = relay(opened, kafka, topic_prefix)
        publisher = worker.publisher()
        counts = await worker.relay_batch(publisher)
        await publisher.close()
    assert (counts.published, counts.rescheduled) == (1, 1)
    assert await rows(pool) == {"event-lost": ("pending", 1)}
    [error] = json.loads(await pool.fetchval("SELECT errors FROM event_outbox"))
    assert (error["task"], error["process"]) == ("outbox-relay", process_name())
    assert error["error"] == "UnknownTopicOrPartitionError: no such topic"


async def test_refused_rows_are_logged_with_topic_error_and_event_ids(
    pool: Pool, database_url: str, kafka: str, topic_prefix: str
) -> None:
    await queue(pool, [message("event-lost-1"), message("event-lost-2")], topic="no such topic")
    await queue(pool, [message("event-good")])
    async with database(database_url) as opened:
        worker = relay(opened, kafka, topic_prefix)
        publisher = worker.publisher()
        with capture_logs() as lines:
            await worker.relay_batch(publisher)
        await publisher.close()
    assert lines == [
        {
            "event": "relay_rows_refused",
            "log_level": "warning",
            "topic": "no such topic",
            "error": "UnknownTopicOrPartitionError: no such topic",
            "reschedule": 2,
            "dead": 0,
            "event_ids": ["event-lost-1", "event-lost-2"],
        }
    ]


@pytest.mark.slow
async def test_lanes_that_wait_for_kafka_log_it_once_and_resume_with_its_first_answer(
    pool: Pool, database_url: str, kafka: str, topic_prefix: str
) -> None:
    """One lane finds no rows while the other holds them, which says nothing about Kafka."""
    await queue(pool, [message("event-0001")])
    errors = counted(metrics.RELAY_ERRORS, kind="kafka")
    with proxied_url(f"kafka://{kafka}") as (proxy, url):
        proxy.black_hole()
        async with database(database_url) as opened:
            worker = relay(opened, url.removeprefix("kafka://"), topic_prefix, poll_interval_sec=0.02)
            with capture_logs() as lines:
                async with running(worker) as progress:

                    async def failed() -> bool:
                        return counted(metrics.RELAY_ERRORS, kind="kafka") >= errors + 2

                    async def published() -> bool:
                        return await rows(pool) == {}

                    await until(failed, within_sec=60.0)
                    assert "kafka" in (progress.detail or "")
                    waits = [line["lane"] for line in lines if line["event"] == "relay_waits"]
                    assert sorted(set(waits)) == sorted(waits)
                    assert not [line for line in lines if line["event"] == "relay_resumes"]
                    proxy.heal()
                    await until(published)
    assert {line["lane"] for line in lines if line["event"] == "relay_resumes"} == set(waits)


async def test_a_broker_that_is_away_costs_no_attempt(pool: Pool, database_url: str, topic_prefix: str) -> None:
    await queue(pool, [message("event-0001")])
    async with database(database_url) as opened:
        worker = relay(opened, "127.0.0.1:1", topic_prefix)
        publisher = worker.publisher()
        with pytest.raises(DependencyDown, match="kafka"):
            await worker.relay_batch(publisher)
        await publisher.close()
    assert await rows(pool) == {"event-0001": ("pending", 0)}


async def test_two_relays_share_the_rows_and_one_that_dies_gives_its_back(pool: Pool, database_url: str) -> None:
    await queue(pool, [message(f"event-{number:04d}") for number in range(30)])
    one, other = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    await one.execute("BEGIN")
    await other.execute("BEGIN")
    mine = {row.id for row in await outbox.claim_batch(one, 10, lease_sec=5.0)}
    theirs = {row.id for row in await outbox.claim_batch(other, 100, lease_sec=5.0)}
    assert len(mine) == 10
    assert len(theirs) == 20
    assert not mine & theirs
    one.terminate()

    async def released() -> bool:
        async with pool.acquire() as connection, connection.transaction():
            return {row.id for row in await outbox.claim_batch(connection, 100, lease_sec=5.0)} == mine

    await until(released)
    other.terminate()


async def test_a_relay_that_is_stopped_loses_its_lease(pool: Pool, database_url: str) -> None:
    await queue(pool, [message("event-0001")])
    stopped = await asyncpg.connect(database_url)
    await stopped.execute("BEGIN")
    assert len(await outbox.claim_batch(stopped, 10, lease_sec=0.2)) == 1

    async def released() -> bool:
        async with pool.acquire() as connection, connection.transaction():
            return len(await outbox.claim_batch(connection, 10, lease_sec=5.0)) == 1

    await until(released)
    stopped.terminate()


async def test_a_claim_does_not_walk_over_what_is_gone(pool: Pool) -> None:
    """However much was deleted before it, and although an old transaction keeps vacuum away."""
    await pool.execute(
        "INSERT INTO event_outbox (event_id, topic, message_key, payload) "
        "SELECT 'e' || n, 't', 'k', '{}' FROM generate_series(1, 20000) AS n"
    )
    async with pool.acquire() as old, old.transaction(isolation="repeatable_read", readonly=True):
        await old.execute("SELECT count(*) FROM event_outbox")
        last = await pool.fetchval("SELECT max(id) FROM (SELECT id FROM event_outbox ORDER BY id LIMIT 19000) AS first")
        await pool.execute("DELETE FROM event_outbox WHERE id <= $1", last)
        await pool.execute("ANALYZE event_outbox")
        plan = await buffers(pool, last)
        assert plan["index"] == "event_outbox_pending" or plan["index"] == "event_outbox_pkey"
        assert plan["buffers"] < 200
        assert plan["buffers"] < (await buffers(pool, 0))["buffers"] / 3


async def buffers(pool: Pool, after_id: int) -> dict[str, object]:
    statement = outbox._SQL["claim_batch"].rstrip(";").replace("$1", "100").replace("$2", str(after_id))
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            text = await connection.fetchval("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement)
        finally:
            await transaction.rollback()
    plan = json.loads(text)[0]["Plan"]
    node = plan
    while "Index Name" not in node:
        node = node["Plans"][0]
    return {"index": node["Index Name"], "buffers": node["Shared Hit Blocks"] + node["Shared Read Blocks"]}


async def test_the_backlog_is_counted_to_a_bound(pool: Pool) -> None:
    await pool.execute(
        "INSERT INTO event_outbox (event_id, topic, message_key, payload, status, created_at) "
        "SELECT 'e' || n, 't', 'k', '{}', CASE WHEN n % 10 = 0 THEN 'dead' ELSE 'pending' END, "
        "now() - interval '1 minute' FROM generate_series(1, 100) AS n"
    )
    async with pool.acquire() as connection:
        found = await outbox.backlog(connection)
    assert (found.pending, found.dead) == (90, 10)
    assert 60_000 <= found.oldest_pending_ms < 600_000


async def test_a_message_travels_with_its_id_and_trace(
    pool: Pool, database_url: str, kafka: str, topic_prefix: str
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await queue(pool, [message("event-0001")], topic=TOPIC_WATCHES, traceparent=trace)
    async with database(database_url) as opened:
        worker = relay(opened, kafka, topic_prefix)
        publisher = worker.publisher()
        await worker.relay_batch(publisher)
        await publisher.close()
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": f"{topic_prefix}probe", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic_prefix + TOPIC_WATCHES])
    record = consumer.poll(20.0)
    consumer.close()
    assert record is not None
    assert record.key() == b"ann"
    assert dict(record.headers() or []) == {"event_id": b"event-0001", "traceparent": trace.encode()}


@pytest.mark.slow
async def test_rows_of_a_lost_transaction_are_found_when_the_server_lets_them_go(
    pool: Pool, database_url: str, kafka: str, topic_prefix: str
) -> None:
    """Nobody announces them, and by its interval the relay would look again in an hour."""
    await queue(pool, [message("event-0001")])
    with proxied_url(database_url) as (proxy, url):
        proxy.trap(b"COMMIT", after=b"DELETE FROM event_outbox")
        async with database(url, statement_timeout_ms=200) as opened:
            worker = relay(opened, kafka, topic_prefix, poll_interval_sec=3600.0, publish_timeout_sec=1.0)
            async with running(worker) as progress:

                async def waits() -> bool:
                    return "postgres" in (progress.detail or "")

                async def published() -> bool:
                    return await rows(pool) == {}

                await until(waits)
                await opened.open()
                await until(published)
