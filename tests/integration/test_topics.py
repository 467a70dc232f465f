"""Topics at the start: made where they are missing, and said where they cannot be; and how one is told from another."""

import pytest
from aiokafka.client import AIOKafkaClient
from confluent_kafka.admin import AdminClient

from app.adapters import topic_ids
from app.adapters.kafka import TopicOptions, ensure_topics
from app.errors import DependencyDown, UserError
from tests.support.pipeline import kafka_options, until


async def test_missing_topics_are_made_with_their_partitions_and_retention(kafka: str, topic_prefix: str) -> None:
    options = TopicOptions(prefix=topic_prefix, partitions=3)
    made = await ensure_topics(kafka_options(kafka), ["one", "two"], options, timeout_sec=10.0)
    assert made == [f"{topic_prefix}one", f"{topic_prefix}two"]
    assert await ensure_topics(kafka_options(kafka), ["one", "two"], options, timeout_sec=10.0) == []
    found = AdminClient({"bootstrap.servers": kafka}).list_topics(f"{topic_prefix}one", timeout=10.0)
    assert len(found.topics[f"{topic_prefix}one"].partitions) == 3


async def test_a_broker_that_refuses_is_told_from_one_that_is_away(kafka: str, topic_prefix: str) -> None:
    too_many = TopicOptions(prefix=topic_prefix, replication_factor=5)
    with pytest.raises(UserError, match=f"Topic {topic_prefix}one is missing and cannot be created.*6 partitions"):
        await ensure_topics(kafka_options(kafka), ["one"], too_many, timeout_sec=10.0)
    with pytest.raises(DependencyDown):
        await ensure_topics(kafka_options("127.0.0.1:1"), ["one"], TopicOptions(), timeout_sec=2.0)


async def test_a_topic_recreated_has_another_id(kafka: str, topic_prefix: str) -> None:
    name, options = f"{topic_prefix}one", TopicOptions(prefix=topic_prefix)
    client = AIOKafkaClient(**kafka_options(kafka).client_arguments())
    await client.bootstrap()
    try:
        assert await topic_ids.read(client, [name]) == {}
        await ensure_topics(kafka_options(kafka), ["one"], options, timeout_sec=10.0)

        async def there() -> bool:
            return name in await topic_ids.read(client, [name])

        await until(there)
        first = (await topic_ids.read(client, [name]))[name]
        admin = AdminClient({"bootstrap.servers": kafka})
        for future in admin.delete_topics([name]).values():
            future.result(10.0)

        async def another() -> bool:
            await ensure_topics(kafka_options(kafka), ["one"], options, timeout_sec=10.0)
            return (await topic_ids.read(client, [name])).get(name) not in (None, first)

        await until(another)
    finally:
        await client.close()
