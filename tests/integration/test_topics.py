"""Topics at the start: made where they are missing, and said where they cannot be; and how one is told from another."""

import contextlib
import random
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.structs import BrokerMetadata
from confluent_kafka import KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic

from app import metrics
from app.adapters import topic_ids
from app.adapters.kafka import TopicOptions, ensure_topics
from app.adapters.topic_ids import TopicIdReader
from app.adapters.topic_settings import OURS
from app.errors import DependencyDown, UserError
from tests.faults.proxy import proxied
from tests.support.pipeline import counted, kafka_options, until
from tests.support.service import eventually
from tests.support.topics import admin_client, delete_topics, partitions
from workers.topic_identity import Recreated, check_same_topics


async def test_missing_topics_are_made_with_their_partitions_and_retention(kafka: str, topic_prefix: str) -> None:
    options = TopicOptions(prefix=topic_prefix, partitions=3)
    made = await ensure_topics(kafka_options(kafka), ["one", "two"], options, timeout_sec=10.0)
    assert made == [f"{topic_prefix}one", f"{topic_prefix}two"]
    eventually(lambda: partitions(kafka, topic_prefix).keys() >= set(made))  # the broker has heard of them
    assert await ensure_topics(kafka_options(kafka), ["one", "two"], options, timeout_sec=10.0) == []
    assert partitions(kafka, topic_prefix)[f"{topic_prefix}one"] == 3


async def test_a_refusing_broker_and_a_missing_one_are_different_errors(kafka: str, topic_prefix: str) -> None:
    too_many = TopicOptions(prefix=topic_prefix, replication_factor=5)
    with pytest.raises(UserError, match=f"Topic {topic_prefix}one is missing and cannot be created.*--partitions 6 "):
        await ensure_topics(kafka_options(kafka), ["one"], too_many, timeout_sec=10.0)
    with pytest.raises(DependencyDown):
        await ensure_topics(kafka_options("127.0.0.1:1"), ["one"], TopicOptions(), timeout_sec=2.0)


def test_the_admin_client_of_the_tests_ends_with_its_block(kafka: str) -> None:
    """Whoever still holds it: one that garbage collection ends in its own thread aborts the process."""
    with admin_client(kafka) as admin:
        assert admin.list_topics(timeout=10.0).brokers
    with pytest.raises(RuntimeError):
        admin.list_topics(timeout=10.0)


class ClientOfAnotherBrand(AIOKafkaClient):
    """As if the broker knew no metadata request that has topic ids."""

    async def send(self, node_id: Any, request: Any, **options: Any) -> Any:
        if type(request).__module__ == topic_ids.__name__:
            raise NotImplementedError
        return await super().send(node_id, request, **options)


async def test_a_broker_without_topic_ids_tells_which_topics_exist(kafka: str, topic_prefix: str) -> None:
    """So that a deletion is noticed while the topic is read."""
    name = f"{topic_prefix}one"
    client = ClientOfAnotherBrand(**kafka_options(kafka).client_arguments())
    await client.bootstrap()
    try:
        reader = TopicIdReader(client)
        assert await reader.read([name]) == {}
        await ensure_topics(kafka_options(kafka), ["one"], TopicOptions(prefix=topic_prefix), timeout_sec=10.0)

        async def there() -> bool:
            return await reader.read([name, "other"]) == {name: ""}

        await until(there)
        delete_topics(kafka, name)

        async def gone() -> bool:
            return await reader.read([name]) == {}

        await until(gone)
        with pytest.raises(Recreated, match=f"topic {name} was deleted"):
            check_same_topics({name: ""}, {})
    finally:
        await client.close()


async def test_a_topic_recreated_has_another_id(kafka: str, topic_prefix: str) -> None:
    name, options = f"{topic_prefix}one", TopicOptions(prefix=topic_prefix)
    client = AIOKafkaClient(**kafka_options(kafka).client_arguments())
    await client.bootstrap()
    try:
        reader = TopicIdReader(client)
        assert await reader.read([name]) == {}
        await ensure_topics(kafka_options(kafka), ["one"], options, timeout_sec=10.0)

        async def there() -> bool:
            return name in await reader.read([name])

        await until(there)
        first = (await reader.read([name]))[name]
        delete_topics(kafka, name)

        async def another() -> bool:
            await ensure_topics(kafka_options(kafka), ["one"], options, timeout_sec=10.0)
            return (await reader.read([name])).get(name) not in (None, first)

        await until(another)
    finally:
        await client.close()


@pytest.mark.filterwarnings("ignore:Unclosed AIOKafkaConnection:ResourceWarning")
@pytest.mark.parametrize("brand", [AIOKafkaClient, ClientOfAnotherBrand])
async def test_broker_that_is_silent_costs_its_turn_once(
    kafka: str, monkeypatch: pytest.MonkeyPatch, brand: type[AIOKafkaClient]
) -> None:
    client, asked = brand(**kafka_options(kafka).client_arguments()), []
    send = client.send

    async def send_and_tell(node_id: int, request: Any) -> Any:
        asked.append(node_id)
        return await send(node_id, request)

    monkeypatch.setattr(client, "send", send_and_tell)
    monkeypatch.setattr(random, "shuffle", lambda nodes: nodes.sort(reverse=True))
    reader = TopicIdReader(client)
    host, port = kafka.split(":")
    with proxied(host, int(port)) as proxy:
        proxy.black_hole()
        await client.bootstrap()
        try:
            (real,) = (broker.nodeId for broker in client.cluster.brokers())
            silent = real + 1
            client.cluster._brokers[silent] = BrokerMetadata(silent, "127.0.0.1", proxy.port, None)
            assert await reader.read([]) == {}
            assert set(asked) == {silent, real}
            asked.clear()
            for _ in range(3):
                assert await reader.read([]) == {}
            assert set(asked) == {real}
            proxy.heal()
            del client.cluster._brokers[real]  # no other one is left
            assert await reader.read([]) == {}
        finally:
            await client.close()


def settings_of(kafka: str, topic: str) -> dict[str, str]:
    resource = ConfigResource("topic", topic)
    with admin_client(kafka) as admin:
        (found,) = admin.describe_configs([resource]).values()
        return {name: entry.value for name, entry in found.result(10.0).items()}


def make(kafka: str, topic: str, **settings: str) -> None:
    new = NewTopic(topic, 1, 1, config={name.replace("_", "."): value for name, value in settings.items()})
    with admin_client(kafka) as admin:
        for future in admin.create_topics([new]).values():
            future.result(10.0)
    # The controller has made it; the broker that clients ask knows it a moment later.
    eventually(lambda: described(kafka, topic))


def described(kafka: str, topic: str) -> bool:
    with contextlib.suppress(KafkaException):
        return bool(settings_of(kafka, topic))
    return False


async def test_a_topic_with_the_brokers_defaults_gets_our_settings(kafka: str, topic_prefix: str) -> None:
    """Of one on which somebody has set something, the partitions stay as they are."""
    make(kafka, f"{topic_prefix}set", segment_bytes="1048576")
    make(kafka, f"{topic_prefix}one")
    options = TopicOptions(prefix=topic_prefix, partitions=3)
    assert await ensure_topics(kafka_options(kafka), ["set", "one"], options, timeout_sec=10.0) == []
    assert OURS.items() <= settings_of(kafka, f"{topic_prefix}one").items()
    found = settings_of(kafka, f"{topic_prefix}set")
    assert OURS.items() <= found.items()
    assert found["segment.bytes"] == "1048576"

    async def widened() -> bool:
        return partitions(kafka, topic_prefix)[f"{topic_prefix}one"] == 3

    await until(widened)
    assert partitions(kafka, topic_prefix)[f"{topic_prefix}set"] == 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("cleanup_policy", "compact", "cleanup.policy=compact; it must be delete"),
        ("retention_ms", "60000", r"retention.ms=60000; it must be 604800000 \(7 days\) or more, or -1"),
        ("retention_bytes", "1000000", "retention.bytes=1000000; it must be -1"),
    ],
)
async def test_settings_that_lose_messages_are_refused_and_measured(
    kafka: str, topic_prefix: str, name: str, value: str, message: str
) -> None:
    topic = f"{topic_prefix}one"
    make(kafka, topic, **{name: value})
    with pytest.raises(UserError, match=f"topic {topic}: {message}"):
        await ensure_topics(kafka_options(kafka), ["one"], TopicOptions(prefix=topic_prefix), timeout_sec=10.0)
    assert counted(metrics.TOPIC_SETTING_WRONG, topic=topic) == 1
    assert settings_of(kafka, topic)[name.replace("_", ".")] == value
