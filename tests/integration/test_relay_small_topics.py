"""Topics that take less than the relay's batch: each row gets its own result."""

import contextlib
import secrets

import asyncpg
import pytest
from aiokafka.conn import AIOKafkaConnection
from confluent_kafka.admin import NewTopic

from app import metrics
from app.core.events import TOPIC_INTERACTIONS
from app.errors import DependencyDown
from tests.support.pipeline import counted, database, message, queue, relay, rows, running, until
from tests.support.slow_line import delayed
from tests.support.topics import admin_client

Pool = asyncpg.Pool


@pytest.fixture
def slow_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AIOKafkaConnection, "send", delayed(AIOKafkaConnection.send))


def make_topic(kafka: str, topic_prefix: str, *, max_message_bytes: int) -> None:
    topic = NewTopic(topic_prefix + TOPIC_INTERACTIONS, 1, 1, config={"max.message.bytes": str(max_message_bytes)})
    with admin_client(kafka) as admin:
        admin.create_topics([topic])[topic.topic].result(10.0)


async def test_a_row_too_large_for_the_topic_costs_its_neighbours_nothing(
    pool: Pool, database_url: str, kafka: str, topic_prefix: str
) -> None:
    """The broker refuses a batch as a whole, and an idempotent producer stumbles over the hole that leaves."""
    make_topic(kafka, topic_prefix, max_message_bytes=20000)
    large = message("event-large", note=secrets.token_hex(60_000))
    await queue(pool, [message(f"event-{number:04d}") for number in range(20)] + [large])
    failed, retried = counted(metrics.RELAY_FAILED), counted(metrics.RELAY_RETRIED)
    async with database(database_url) as opened:
        worker = relay(opened, kafka, topic_prefix)
        publisher = worker.publisher()
        counts = await worker.relay_batch(publisher)
        assert (counts.published, counts.rescheduled, counts.dead) == (20, 1, 0)
        assert await rows(pool) == {"event-large": ("pending", 1)}
        await queue(pool, [message("event-after")])
        assert (await worker.relay_batch(publisher)).published == 1
        await publisher.close()
        async with running(worker):
            await until(lambda: pool.fetchval("SELECT status = 'dead' FROM event_outbox"))
    assert await rows(pool) == {"event-large": ("dead", 3)}
    assert "MessageSizeTooLarge" in await pool.fetchval("SELECT last_error FROM event_outbox")
    assert counted(metrics.RELAY_FAILED) == failed + 1
    assert counted(metrics.RELAY_RETRIED) == retried + 2


async def test_a_topic_that_takes_less_than_a_batch_gets_its_rows_one_by_one(
    pool: Pool, database_url: str, kafka: str, topic_prefix: str
) -> None:
    make_topic(kafka, topic_prefix, max_message_bytes=600)
    await queue(pool, [message(f"event-{number:04d}") for number in range(50)])
    async with database(database_url) as opened:
        worker = relay(opened, kafka, topic_prefix)
        publisher = worker.publisher()
        counts = await worker.relay_batch(publisher)
        await publisher.close()
    assert (counts.published, counts.rescheduled, counts.dead) == (50, 0, 0)


async def test_a_small_topic_behind_a_slow_line_is_published_to_the_end(
    pool: Pool, database_url: str, kafka: str, topic_prefix: str, slow_line: None
) -> None:
    """However long the whole batch takes: what was acknowledged leaves the outbox, and no row costs an attempt."""
    make_topic(kafka, topic_prefix, max_message_bytes=600)
    await queue(pool, [message(f"event-{number:04d}") for number in range(1300)])
    async with database(database_url) as opened:
        worker = relay(opened, kafka, topic_prefix, batch_size=1300, publish_timeout_sec=2.0)
        publisher = worker.publisher()
        turns = 0
        while left := await rows(pool):
            turns += 1
            with contextlib.suppress(DependencyDown):
                await worker.relay_batch(publisher)
            assert len(await rows(pool)) < len(left), "no row was published and deleted in this turn"
            assert {attempts for _, attempts in (await rows(pool)).values()} <= {0}
        await publisher.close()
    assert turns > 1, "the line was not slow enough to show anything"
