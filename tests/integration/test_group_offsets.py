"""What a broker says of the group's offsets while it has none to say: nobody takes that for a new group."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import GroupLoadInProgressError
from aiokafka.protocol.commit import OffsetFetchRequest, OffsetFetchResponse_v3

from app.adapters.kafka import committed_offsets
from app.core.events import TOPIC_WATCHES
from app.errors import DependencyDown
from tests.support.damaged_log import make_topics, produce
from tests.support.pipeline import kafka_options, topics, until
from workers.subscription import Subscription


@asynccontextmanager
async def subscribed(kafka: str, topic_prefix: str) -> AsyncIterator[Subscription]:
    found = await Subscription.open(kafka_options(kafka), topics(topic_prefix), f"{topic_prefix}group")
    try:
        yield found
    finally:
        await found.close()


async def first_offset(subscription: Subscription, *, commit: bool = False) -> int:
    """Of what is polled first."""
    offsets: list[int] = []

    async def arrived() -> bool:
        polled = await subscription.poll(timeout_ms=50, max_records=100)
        offsets.extend(record.offset for record in polled.records)
        if commit and polled.records:
            await subscription.commit(polled)
        return bool(offsets)

    await until(arrived)
    return offsets[0]


async def test_error_of_the_whole_group_is_an_outage(
    kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    partitions = [TopicPartition(topic_prefix + TOPIC_WATCHES, number) for number in (0, 1)]
    async with subscribed(kafka, topic_prefix) as joined:

        async def is_assigned() -> bool:
            await joined.poll(timeout_ms=50, max_records=100)
            return joined.partitions > 0

        await until(is_assigned)
    found = await committed_offsets(kafka_options(kafka), f"{topic_prefix}group", partitions)
    assert {partition: state.offset for partition, state in found.items()} == dict.fromkeys(partitions, -1)
    ask = AIOKafkaAdminClient._send_request

    async def loading(admin: Any, request: Any, node_id: Any = None) -> Any:
        if isinstance(request, OffsetFetchRequest):
            return OffsetFetchResponse_v3(0, [], GroupLoadInProgressError.errno)
        return await ask(admin, request, node_id)

    monkeypatch.setattr(AIOKafkaAdminClient, "_send_request", loading)
    with pytest.raises(DependencyDown, match="the offsets of 2 partitions are not known"):
        await committed_offsets(kafka_options(kafka), f"{topic_prefix}group", partitions)


async def test_client_that_gets_no_offsets_goes_on_where_the_group_stands(
    kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_topics(kafka, topic_prefix)
    topic = topic_prefix + TOPIC_WATCHES
    await produce(kafka, topic, 0, ["event-0001", "event-0002"])
    async with subscribed(kafka, topic_prefix) as joined:
        assert await first_offset(joined, commit=True) == 0
    await produce(kafka, topic, 0, ["event-0003"])
    asked = asyncio.Event()

    async def nothing(coordinator: GroupCoordinator, partitions: Collection[TopicPartition]) -> dict[Any, Any]:
        asked.set()
        return {}

    monkeypatch.setattr(GroupCoordinator, "_do_fetch_commit_offsets", nothing)
    async with subscribed(kafka, topic_prefix) as joined:
        assert await first_offset(joined) == 2
    assert asked.is_set()
