"""Clients of Kafka whose broker is frozen: they end, and leave neither tasks nor unread errors behind."""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.adapters import kafka
from app.adapters.kafka_bounds import bounded, is_abandoned, stop_consumer, stop_producer
from app.adapters.outbox import OutboxRow
from app.core.events import TOPIC_INTERACTIONS, TOPICS
from app.core.failing_partitions import FailingPartitions
from app.devstack import Stack
from app.errors import DependencyDown
from tests.faults.proxy import METADATA_REQUEST, proxied
from tests.support.pipeline import kafka_options, message, topics
from workers.publisher import Publisher
from workers.subscription import Subscription

Reports = list[dict[str, Any]]


@pytest.fixture
async def reports() -> AsyncIterator[Reports]:
    """What asyncio reports of unread errors and destroyed tasks, and the tasks of clients that are left."""
    found: Reports = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.append(context))
    yield found
    await asyncio.sleep(0)
    gc.collect()
    found.extend({"task": task} for task in asyncio.all_tasks() if is_abandoned({"task": task}))
    assert found == []


async def test_publisher_gives_up_while_its_broker_is_frozen(
    kafka: str, topic_prefix: str, breakable_stack: Stack, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher(kafka_options(kafka), topics(topic_prefix), FailingPartitions(), timeout_sec=10.0)
    now_ms = time.time_ns() // 1_000_000
    rows = [
        OutboxRow(
            number,
            f"event-{number:04d}",
            TOPIC_INTERACTIONS,
            "ann",
            message(f"event-{number:04d}"),
            None,
            0,
            0.0,
            now_ms,
        )
        for number in range(200)
    ]
    assert await publisher.publish(rows) == [None] * len(rows)
    breakable_stack.kafka.pause()
    with monkeypatch.context() as hasty:
        hasty.setattr(publisher, "_timeout_sec", 1.0)
        assert {str(result) for result in await publisher.publish(rows)} == {"kafka: no acknowledgement in 1 s"}
    breakable_stack.kafka.resume()
    assert await publisher.publish(rows) == [None] * len(rows)
    await publisher.close()


async def test_producer_with_unsent_rows_ends_while_its_broker_is_frozen(
    kafka: str, topic_prefix: str, breakable_stack: Stack, reports: Reports
) -> None:
    producer = await start_producer(kafka, topic_prefix)
    await producer.send_and_wait(topic_prefix + TOPIC_INTERACTIONS, b"first")
    breakable_stack.kafka.pause()
    sent = [await producer.send(topic_prefix + TOPIC_INTERACTIONS, b"x" * 1000) for _ in range(200)]
    await stop_producer(producer)
    assert not any(future.done() and future.exception() is None for future in sent)


@pytest.mark.slow
async def test_a_consumer_that_joins_a_group_says_so_when_its_broker_freezes(
    kafka: str, topic_prefix: str, breakable_stack: Stack
) -> None:
    subscription = await Subscription.open(kafka_options(kafka), topics(topic_prefix), f"{topic_prefix}joins")
    breakable_stack.kafka.pause()

    async def poll_on() -> None:
        while True:
            await subscription.poll(timeout_ms=50, max_records=100)
            await subscription.observe()

    with pytest.raises(DependencyDown):
        await asyncio.wait_for(poll_on(), 30)
    await subscription.close()


async def test_consumer_ends_while_its_broker_is_frozen(
    kafka: str, topic_prefix: str, breakable_stack: Stack, reports: Reports
) -> None:
    consumer = await start_consumer(kafka, topic_prefix)
    await consumer.getmany(timeout_ms=2000)
    breakable_stack.kafka.pause()
    await stop_consumer(consumer, timeout_sec=0.1)


async def test_call_that_fails_after_its_deadline_is_not_reported(reports: Reports) -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("failed on the way out") from None

    with pytest.raises(DependencyDown, match="no answer in"):
        await bounded(stubborn(), 0.01)


@pytest.mark.filterwarnings("ignore:Unclosed AIOKafkaConnection:ResourceWarning")
async def test_a_connection_that_is_dropped_while_a_client_connects_is_not_reported(
    kafka: str, topic_prefix: str
) -> None:
    found: Reports = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: found.append(context))
    host, _, port = kafka.partition(":")
    with proxied(host, int(port)) as proxy:
        proxy.trap(METADATA_REQUEST)
        with contextlib.suppress(DependencyDown):
            await start_producer(f"{host}:{proxy.port}", topic_prefix)
        assert proxy.caught.is_set()
        await asyncio.sleep(0)
        gc.collect()
    assert [report["message"] for report in found] == ["Unclosed AIOKafkaConnection"]
    assert all(map(is_abandoned, found))


async def test_task_of_our_own_is_reported() -> None:
    async def ours() -> None:
        raise ValueError

    task = asyncio.create_task(ours())
    await asyncio.wait([task])
    assert not is_abandoned({"task": task, "message": "", "exception": task.exception()})
    assert not is_abandoned({"future": task, "message": "", "exception": task.exception()})
    assert not is_abandoned({"message": "in a callback"})


async def start_producer(servers: str, prefix: str) -> Any:
    await kafka.ensure_topics(kafka_options(servers), TOPICS, topics(prefix), timeout_sec=10.0)
    return await kafka.start_producer(kafka_options(servers), timeout_sec=10.0)


async def start_consumer(servers: str, prefix: str) -> Any:
    await kafka.ensure_topics(kafka_options(servers), TOPICS, topics(prefix), timeout_sec=10.0)
    consumer = await kafka.start_consumer(kafka_options(servers), group=f"{prefix}group", timeout_sec=10.0)
    consumer.subscribe([prefix + TOPIC_INTERACTIONS])
    return consumer
