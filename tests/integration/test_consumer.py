"""The consumer's transaction against a real Postgres, and the whole consumer against Kafka, Postgres and Redis."""

import asyncio
import json
import random
from typing import Any

import asyncpg
import pytest
import redis.asyncio
from confluent_kafka import Producer

from app import metrics
from app.adapters.postgres import Database
from app.adapters.redis_histories import RedisHistoryCache
from app.core.events import TOPIC_INTERACTIONS, TOPIC_WATCHES
from app.core.features import decode_history
from app.errors import DependencyDown
from app.supervisor import Progress
from tests.support.consuming import incoming
from tests.support.pipeline import consuming, counted, kafka_options, message, running, until
from workers.applied import Applied
from workers.batch import FeatureWriter
from workers.consumer import FeatureConsumer
from workers.traces import LateFeatures

Pool = asyncpg.Pool

_READS_ALL = "reads 6 partitions"


async def never(server: str) -> bytes:
    raise AssertionError("the consumer does not read the cache")


async def views(pool: Pool) -> dict[str, int]:
    return {row[0]: row[1] for row in await pool.fetch("SELECT item_id, views FROM item_stats WHERE views > 0")}


async def test_an_event_counts_once_within_a_batch_and_across_batches(opened: Database, pool: Pool) -> None:
    writer = FeatureWriter(opened, max_retries=1)
    batch = incoming(message("event-0001"), message("event-0002", item_id="heat"), message("event-0001"))
    first, second = await writer.apply(batch), await writer.apply(batch)
    assert (first.counted, first.duplicates, first.dead) == (2, 1, 0)
    assert (second.counted, second.duplicates) == (0, 3)
    assert await views(pool) == {"alien": 1, "heat": 1}
    # A duplicate's history is told as well: whoever counted it first may have died before the cache.
    assert second.histories["ann"] == first.histories["ann"]
    assert await pool.fetchval("SELECT version FROM user_history") == second.histories["ann"].version


async def test_each_count_raises_the_version_of_a_history_by_one(opened: Database, pool: Pool) -> None:
    writer = FeatureWriter(opened, max_retries=1)
    before = (await writer.apply(incoming(message("event-0001")))).histories["ann"].version
    counted_now = await writer.apply(incoming(message("event-0002"), message("event-0003", user_id="bob")))
    assert counted_now.histories["ann"].version == before + 1
    rows = await pool.fetch("SELECT user_id, version FROM user_history")
    assert dict(map(tuple, rows)) == {user: found.version for user, found in counted_now.histories.items()}


async def test_bad_bytes_are_dead_letters_of_the_same_transaction_and_stored_once(opened: Database, pool: Pool) -> None:
    writer = FeatureWriter(opened, max_retries=1)
    headers = [("event_id", b"event-bad"), ("traceparent", b"00-aa-bb-01"), ("odd", b"\xff\x00"), ("replays", b"2")]
    batch = incoming(b"\xff", None, headers=headers)
    assert (await writer.apply(batch)).dead == 2
    again = await writer.apply(batch)
    assert (again.dead, again.duplicates) == (0, 2)
    rows = await pool.fetch("SELECT * FROM feature_consumer_dlq ORDER BY record_offset")
    assert [row["value"] for row in rows] == [b"\xff", None]
    assert rows[0]["header_names"] == [name for name, _ in headers]
    assert rows[0]["header_values"] == [value for _, value in headers]
    assert (rows[0]["event_id"], rows[0]["traceparent"], rows[0]["replays"]) == ("event-bad", "00-aa-bb-01", 2)
    assert (rows[0]["partition"], rows[0]["record_offset"], rows[0]["error_kind"]) == (0, 0, "decode")


async def test_a_message_that_postgres_refuses_is_dead_lettered_alone(opened: Database, pool: Pool) -> None:
    await pool.execute("ALTER TABLE item_stats ADD CONSTRAINT no_poison CHECK (item_id <> 'poison' OR views = 0)")
    retried = counted(metrics.CONSUMER_PROCESSED, status="retried")
    values = [message(f"event-{number:04d}", item_id="poison" if number == 5 else "alien") for number in range(16)]
    applied = await FeatureWriter(opened, max_retries=2).apply(incoming(*values))
    assert (applied.counted, applied.dead) == (15, 1)
    assert counted(metrics.CONSUMER_PROCESSED, status="retried") == retried + 2
    letter = await pool.fetchrow("SELECT event_id, error_kind, attempts, error FROM feature_consumer_dlq")
    assert letter is not None
    assert (letter["event_id"], letter["error_kind"], letter["attempts"]) == ("event-0005", "data", 3)
    assert "no_poison" in letter["error"]
    assert await views(pool) == {"alien": 15}
    assert await pool.fetchval("SELECT count(*) FROM feature_event_consumed") == 15


async def test_an_outage_costs_the_message_no_attempt(opened: Database, pool: Pool) -> None:
    await pool.execute("ALTER TABLE item_stats RENAME TO item_stats_away")
    with pytest.raises(DependencyDown):
        await FeatureWriter(opened, max_retries=1).apply(incoming(message("event-0001"), message("event-0002")))
    await pool.execute("ALTER TABLE item_stats_away RENAME TO item_stats")
    assert await pool.fetchval("SELECT count(*) FROM feature_consumer_dlq") == 0


async def test_several_consumers_neither_deadlock_nor_count_twice(opened: Database, pool: Pool) -> None:
    """The same events in different orders, by several writers at once, about the same few users and items."""
    chance = random.Random(7)
    reasons: list[str] = []
    values = [
        message(
            f"event-{number:04d}",
            user_id=f"user-{number % 5}",
            item_id=f"item-{number % 7}",
            ts_ms=1_767_225_600_000 + number,
        )
        for number in range(200)
    ]

    async def consume() -> Applied:
        writer, total = FeatureWriter(opened, max_retries=1), Applied()
        shuffled = chance.sample(values, len(values))
        for start in range(0, len(shuffled), 40):
            while True:
                try:
                    total.add(await writer.apply(incoming(*shuffled[start : start + 40])))
                    break
                except DependencyDown as error:
                    reasons.append(error.reason)
        return total

    totals = await asyncio.gather(*(consume() for _ in range(3)))
    assert not [reason for reason in reasons if "LockNotAvailable" not in reason]
    assert sum(total.counted for total in totals) == 200
    assert sum((await views(pool)).values()) == 200
    history = await pool.fetchval("SELECT history FROM user_history WHERE user_id = 'user-0'")
    assert [entry.at_ms for entry in decode_history(history).entries] == sorted(
        (entry.at_ms for entry in decode_history(history).entries), reverse=True
    )


async def test_a_dead_letter_keeps_its_trace_and_moves_the_metrics(
    opened: Database, pool: Pool, kafka: str, topic_prefix: str, redis_url: str
) -> None:
    cache = RedisHistoryCache(redis_url, key_prefix="", ttl_sec=60.0, timeout_sec=2.0, confirm=never)
    before = {status: counted(metrics.CONSUMER_PROCESSED, status=status) for status in ("applied", "duplicate", "dlq")}
    stored, lag = counted(metrics.DLQ_EVENTS, outcome="stored"), counted(metrics.CONSUMER_EVENT_LAG)
    watched, recovered = counted(metrics.WATCH_TO_FEATURE), counted(metrics.DLQ_EVENTS, outcome="recovered")
    consumer = FeatureConsumer(opened, cache, kafka_options(kafka), consuming(topic_prefix), LateFeatures())
    async with running(consumer) as progress:
        await until(_assigned(progress))
        producer = Producer({"bootstrap.servers": kafka})
        watch = json.loads(message("event-watch")) | {"event_type": "watch", "watch_time_sec": 60}
        producer.produce(topic_prefix + TOPIC_WATCHES, json.dumps(watch), key="ann")
        for headers in ([], [("replays", b"1")]):
            producer.produce(
                topic_prefix + TOPIC_INTERACTIONS, message("event-view"), key="ann", partition=0, headers=headers
            )
        producer.produce(
            topic_prefix + TOPIC_INTERACTIONS, b"{", key="ann", partition=0, headers=[("traceparent", b"00-cc-dd-01")]
        )
        producer.flush(10.0)

        async def done() -> bool:
            return all(
                counted(metrics.CONSUMER_PROCESSED, status=status) == before[status] + more
                for status, more in (("applied", 2), ("duplicate", 1), ("dlq", 1))
            )

        await until(done)
        assert progress.detail == _READS_ALL
    assert counted(metrics.DLQ_EVENTS, outcome="stored") == stored + 1
    assert counted(metrics.DLQ_EVENTS, outcome="recovered") == recovered + 1
    assert counted(metrics.CONSUMER_EVENT_LAG) == lag + 3
    assert counted(metrics.WATCH_TO_FEATURE) == watched + 1
    assert await pool.fetchval("SELECT traceparent FROM feature_consumer_dlq") == "00-cc-dd-01"
    async with redis.asyncio.Redis.from_url(redis_url) as raw:
        assert await raw.exists("reco:history.v3:ann")
    await cache.close()


async def test_the_lag_is_measured_while_a_batch_waits_for_postgres(
    opened: Database, pool: Pool, kafka: str, topic_prefix: str
) -> None:
    consumer = FeatureConsumer(opened, None, kafka_options(kafka), consuming(topic_prefix, at_once=3), LateFeatures())
    errors = counted(metrics.CONSUMER_ERRORS, kind="postgres")
    topic = topic_prefix + TOPIC_INTERACTIONS

    async def lag() -> bool:
        return counted(metrics.CONSUMER_LAG, topic=topic, partition="0") == 10

    async def waits_for_postgres() -> bool:
        return counted(metrics.CONSUMER_ERRORS, kind="postgres") > errors

    async with running(consumer) as progress:
        await until(_assigned(progress))
        await pool.execute("ALTER TABLE item_stats RENAME TO item_stats_away")
        producer = Producer({"bootstrap.servers": kafka})
        for number in range(10):
            producer.produce(topic, message(f"event-{number:04d}"), key="ann", partition=0)
        producer.flush(10.0)
        await until(waits_for_postgres)
        await until(lag)
        await pool.execute("ALTER TABLE item_stats_away RENAME TO item_stats")

        async def counted_all() -> bool:
            return await views(pool) == {"alien": 10}

        await until(counted_all)
    assert counted(metrics.CONSUMER_LAG, topic=topic) == 0  # whoever reads the partition next tells its lag


async def test_messages_of_a_busy_time_gather_until_the_batch_is_full_or_the_consumer_stops(
    opened: Database, pool: Pool, kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.consumer.interval_sec", lambda messages: 600.0 if messages else 0.0)
    consumer = FeatureConsumer(opened, None, kafka_options(kafka), consuming(topic_prefix, at_once=6), LateFeatures())
    producer = Producer({"bootstrap.servers": kafka})
    topic = topic_prefix + TOPIC_INTERACTIONS

    def send(number: int) -> None:
        producer.produce(topic, message(f"event-{number:04d}"), key="ann", partition=number % 2)
        producer.flush(10.0)

    async def batches() -> list[int]:
        counts = "SELECT count(*) FROM feature_event_consumed GROUP BY xmin::text ORDER BY min(consumed_at)"
        return [row[0] for row in await pool.fetch(counts)]

    async def first() -> bool:
        return await batches() == [1]

    async def second() -> bool:
        return await batches() == [1, 6]

    async with running(consumer) as progress:
        await until(_assigned(progress))
        send(0)
        await until(first)
        for number in range(1, 7):
            send(number)
        await until(second)
        send(7)
    assert await batches() in ([1, 6, 1], [1, 6])  # the last one may not have arrived


def _assigned(progress: Progress) -> Any:
    async def check() -> bool:
        return progress.detail == _READS_ALL

    return check
