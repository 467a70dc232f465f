"""Topics of the tests, as Kafka's own client sees them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

_TIMEOUT_SEC: Final = 10


@contextmanager
def admin_client(kafka: str) -> Iterator[AdminClient]:
    """Ended with the block, in the thread that made it.

    It answers in a thread of its own, where Python may collect garbage. One that is left to that after an error, whose
    traceback holds it, may end itself there, and librdkafka then aborts the process.
    """
    with AdminClient({"bootstrap.servers": kafka, "log_level": 0}) as admin:
        yield admin


def partitions(kafka: str, prefix: str) -> dict[str, int]:
    """The number of partitions of each topic with this prefix."""
    with admin_client(kafka) as admin:
        return {name: len(topic.partitions) for name, topic in _topics(admin).items() if name.startswith(prefix)}


def has_brokers(kafka: str) -> bool:
    """Whether Kafka names a broker. One that was frozen may answer before its controller takes it for alive again."""
    with admin_client(kafka) as admin, suppress(KafkaException):
        return bool(admin.list_topics(timeout=_TIMEOUT_SEC).brokers)
    return False


def members(kafka: str, group: str) -> int:
    """How many members the consumer group has."""
    with admin_client(kafka) as admin:
        return len(admin.describe_consumer_groups([group])[group].result(_TIMEOUT_SEC).members)


def delete_topics(kafka: str, prefix: str) -> None:
    with admin_client(kafka) as admin:
        names = [name for name in _topics(admin) if name.startswith(prefix)]
        for deletion in admin.delete_topics(names).values() if names else ():
            with suppress(KafkaException):  # a client that is still closing may have deleted or recreated it
                deletion.result(_TIMEOUT_SEC)


def _topics(admin: AdminClient) -> dict[str, Any]:
    return dict(admin.list_topics(timeout=_TIMEOUT_SEC).topics)
