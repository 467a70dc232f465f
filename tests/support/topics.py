"""Topics of the tests, as Kafka's own client sees them."""

from contextlib import suppress
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

_TIMEOUT_SEC: Final = 10


def partitions(kafka: str, prefix: str) -> dict[str, int]:
    """The number of partitions of each topic with this prefix."""
    return {name: len(topic.partitions) for name, topic in _topics(_admin(kafka)).items() if name.startswith(prefix)}


def members(kafka: str, group: str) -> int:
    """How many members the consumer group has."""
    admin = _admin(kafka)  # without a reference it would end before it answers
    return len(admin.describe_consumer_groups([group])[group].result(_TIMEOUT_SEC).members)


def delete_topics(kafka: str, prefix: str) -> None:
    admin = _admin(kafka)
    names = [name for name in _topics(admin) if name.startswith(prefix)]
    for deletion in admin.delete_topics(names).values() if names else ():
        with suppress(KafkaException):  # a client that is still closing may have deleted or recreated it
            deletion.result(_TIMEOUT_SEC)


def _admin(kafka: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka, "log_level": 0})


def _topics(admin: AdminClient) -> dict[str, Any]:
    return dict(admin.list_topics(timeout=_TIMEOUT_SEC).topics)
