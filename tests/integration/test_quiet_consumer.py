"""A consumer whose topics are quiet asks the broker less often, and as often as before once a message arrives."""

import pytest

from app.adapters.kafka_bounds import stop_producer
from app.core.events import TOPIC_INTERACTIONS
from app.core.failing_partitions import FailingPartitions
from tests.support.pipeline import kafka_options, message, topics, until
from workers import subscription
from workers.publisher import Publisher
from workers.subscription import Subscription


async def test_fetches_wait_longer_at_the_broker_until_a_message_arrives(
    kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = await Subscription.open(kafka_options(kafka), topics(topic_prefix), f"{topic_prefix}quiet")
    waits: list[int] = []
    arrived: list[bytes | None] = []

    async def poll() -> None:
        polled = await joined.poll(timeout_ms=50, max_records=100)
        arrived.extend(record.value for record in polled.records)
        waits.append(joined._client._fetcher._fetch_max_wait_ms)

    async def is_assigned() -> bool:
        await poll()
        return joined.partitions > 0

    await until(is_assigned)
    assert set(waits) == {100}
    monkeypatch.setattr(subscription, "_QUIET_AFTER_SEC", 0.0)
    await poll()
    assert waits[-1] == 500
    monkeypatch.setattr(subscription, "_QUIET_AFTER_SEC", 60.0)
    producer = await Publisher(kafka_options(kafka), topics(topic_prefix), FailingPartitions(), timeout_sec=5.0)._start(
        idempotent=True
    )
    await producer.send_and_wait(topic_prefix + TOPIC_INTERACTIONS, message("event-0001").encode())
    await stop_producer(producer)

    async def has_arrived() -> bool:
        await poll()
        return bool(arrived)

    await until(has_arrived)
    assert waits[-1] == 100
    await joined.close()
