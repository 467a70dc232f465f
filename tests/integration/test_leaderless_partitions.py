"""A broker that alone had some partitions is away: the others are read and written on, and nobody rejoins the group."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka.admin import NewTopic

from app.adapters.postgres import Database
from app.adapters.topic_settings import OURS
from app.core.events import TOPIC_INTERACTIONS, TOPICS
from tests.support.damaged_log import produce
from tests.support.pipeline import (
    consuming,
    kafka_options,
    message,
    queue,
    relay,
    rows,
    running,
    until,
    until_equal,
)
from tests.support.three_brokers import Broker, Brokers, three_brokers
from tests.support.topics import admin_client
from workers.consumer import FeatureConsumer
from workers.subscription import Subscription
from workers.traces import LateFeatures

Pool = asyncpg.Pool

_PARTITIONS = 6
_PATIENCE_SEC = 60.0
_TURNS = 15
_USERS = 1_500


@pytest.fixture(scope="module")
def brokers() -> Iterator[Brokers]:
    with three_brokers() as kafka:
        yield kafka


def make_topics(kafka: Brokers, prefix: str, *, replicas: int = 1) -> None:
    """They take messages while all replicas are in step."""
    config = {**OURS, "min.insync.replicas": str(replicas)}
    with admin_client(kafka.url) as admin:
        new = [NewTopic(prefix + topic, _PARTITIONS, replicas, config=config) for topic in TOPICS]
        for future in admin.create_topics(new).values():
            future.result(10.0)


def led_by(kafka: Brokers, topic: str) -> dict[int, int]:
    """By partition, the number of the broker that leads it; -1 where none does."""
    with admin_client(kafka.url) as admin:
        found = admin.list_topics(topic, timeout=10.0).topics[topic].partitions
    return {number: partition.leader for number, partition in found.items()}


def replicas_of(kafka: Brokers, topic: str) -> dict[int, list[int]]:
    """By partition, the numbers of the brokers that have it."""
    with admin_client(kafka.url) as admin:
        found = admin.list_topics(topic, timeout=10.0).topics[topic].partitions
    return {number: partition.replicas for number, partition in found.items()}


def replicas_in_step(kafka: Brokers, prefix: str, replicas: int) -> bool:
    """Of all partitions of the topics with this prefix."""
    with admin_client(kafka.url) as admin:
        found = admin.list_topics(timeout=10.0).topics
    ours = [part for name, topic in found.items() if name.startswith(prefix) for part in topic.partitions.values()]
    return len(ours) == len(TOPICS) * _PARTITIONS and all(len(part.isrs) == replicas for part in ours)


def one_beside_the_coordinator(kafka: Brokers, group: str) -> Broker:
    with admin_client(kafka.url) as admin:
        coordinator = admin.describe_consumer_groups([group])[group].result(10.0).coordinator
    return next(broker for broker in kafka.brokers if broker.number != coordinator.id)


async def consumed(pool: Pool) -> set[str]:
    return {row[0] for row in await pool.fetch("SELECT event_id FROM feature_event_consumed")}


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_members_read_the_other_partitions_and_none_rejoins(
    brokers: Brokers, opened: Database, pool: Pool, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, group = topic_prefix + TOPIC_INTERACTIONS, consuming(topic_prefix).group
    make_topics(brokers, topic_prefix)
    joined: list[Subscription] = []
    looked: Counter[Subscription] = Counter()
    join, look = Subscription.open, Subscription._observe_lag

    async def count_joined(*args: Any) -> Subscription:
        joined.append(await join(*args))
        return joined[-1]

    async def count_looked(subscription: Subscription) -> int:
        found = await look(subscription)
        looked[subscription] += 1
        return found

    monkeypatch.setattr(Subscription, "open", count_joined)
    monkeypatch.setattr(Subscription, "_observe_lag", count_looked)

    async def all_counted(sent: set[str]) -> None:
        async def counted() -> bool:
            return sent <= await consumed(pool)

        await until(counted, _PATIENCE_SEC)

    async def share_the_partitions() -> bool:
        return [one.partitions for one in joined] == [9, 9]

    async def lost_its_partitions() -> bool:
        return -1 in (await asyncio.to_thread(led_by, brokers, topic)).values()

    async def looked_on() -> bool:
        return min(looked[one] for one in joined) >= _TURNS

    members = [
        FeatureConsumer(opened, None, kafka_options(brokers.url), consuming(topic_prefix), LateFeatures())
        for _ in range(2)
    ]
    async with running(members[0]), running(members[1]):
        await until(share_the_partitions, _PATIENCE_SEC)
        for number in range(_PARTITIONS):
            await produce(brokers.url, topic, number, [f"event-before-{number}"])
        await all_counted({f"event-before-{number}" for number in range(_PARTITIONS)})
        lost = await asyncio.to_thread(one_beside_the_coordinator, brokers, group)
        await asyncio.to_thread(lost.kill)
        await until(lost_its_partitions, _PATIENCE_SEC)
        looked.clear()
        left = [number for number, leader in led_by(brokers, topic).items() if leader != -1]
        assert 0 < len(left) < _PARTITIONS
        for turn in range(3):
            for number in left:
                await produce(brokers.url, topic, number, [f"event-meanwhile-{turn}-{number}"])
            await all_counted({f"event-meanwhile-{turn}-{number}" for number in left})
        await until(looked_on, _PATIENCE_SEC)
        assert len(joined) == len(members)
        await asyncio.to_thread(lost.start)
        for number in range(_PARTITIONS):
            await produce(brokers.url, topic, number, [f"event-after-{number}"])
        await all_counted({f"event-after-{number}" for number in range(_PARTITIONS)})
        assert len(joined) == len(members)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("replicas", [1, 2])
async def test_rows_of_the_other_partitions_are_published(
    brokers: Brokers, opened: Database, pool: Pool, topic_prefix: str, replicas: int
) -> None:
    """Those that wait are a hundred batches, and come first, also for a relay that has just started: their partitions
    have no leader, or too few replicas.
    """
    topic = topic_prefix + TOPIC_INTERACTIONS
    make_topics(brokers, topic_prefix, replicas=replicas)

    async def in_step() -> bool:
        return await asyncio.to_thread(replicas_in_step, brokers, topic_prefix, replicas)

    await until(in_step, _PATIENCE_SEC)
    held_by = replicas_of(brokers, topic)
    lost = brokers.brokers[0]
    users: dict[bool, list[str]] = {True: [], False: []}
    for user in (f"user-{number}" for number in range(_USERS)):
        partition = DefaultPartitioner()(user.encode(), sorted(held_by), [])
        users[lost.number in held_by[partition]].append(user)
    waiting = {f"event-{user}": user for user in users[True]}
    others = {f"event-{user}": user for user in users[False]}
    worker = relay(opened, brokers.url, topic_prefix, batch_size=10, publish_timeout_sec=3.0)
    await asyncio.to_thread(lost.kill)
    try:
        await queue(pool, [message(event_id, user_id=user) for event_id, user in (waiting | others).items()])
        await pool.execute(
            "UPDATE event_outbox SET created_at = now() - interval '200 s' WHERE event_id = ANY ($1)", list(waiting)
        )
        async with running(worker) as progress:
            await until_equal(lambda: rows(pool), dict.fromkeys(waiting, ("pending", 0)), _PATIENCE_SEC)
            assert "of recsys.interactions.v1" in str(progress.detail)
            await asyncio.to_thread(lost.start)
            await until_equal(lambda: rows(pool), {}, 2 * _PATIENCE_SEC)
    finally:
        lost.restore()
