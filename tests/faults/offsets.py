"""How far a consumer group is, asked from Kafka itself."""

from collections.abc import Mapping
from typing import Final

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec

from app.core.events import TOPICS
from tests.support.topics import AdminClient, admin_client

_TIMEOUT_SEC: Final = 20.0
_ALERTS: Final = 1  # of syslog's levels: that a broker is away is what we are here for


def uncommitted(environment: Mapping[str, str]) -> dict[str, object]:
    """Messages beyond the group's offsets, by `topic/partition`; partitions without any are left out.

    While Kafka does not answer, the reason as `unknown`.
    """
    try:
        with admin_client(environment["KAFKA_BOOTSTRAP_SERVERS"]) as admin:
            return _uncommitted(admin, environment)
    except KafkaException as error:
        return {"unknown": str(error)}


def _uncommitted(admin: AdminClient, environment: Mapping[str, str]) -> dict[str, object]:
    group = environment["KAFKA_TOPIC_PREFIX"] + environment["FEATURE_CONSUMER_GROUP"]
    partitions = _partitions(admin, environment)
    if not partitions:
        return {}
    ends = admin.list_offsets(
        {partition: OffsetSpec.latest() for partition in partitions},
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=_TIMEOUT_SEC,
    )
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, partitions)])
    committed = {
        (found.topic, found.partition): max(0, found.offset)
        for found in asked[group].result(_TIMEOUT_SEC).topic_partitions
    }
    left = {
        f"{partition.topic}/{partition.partition}": end.result(_TIMEOUT_SEC).offset
        - committed.get((partition.topic, partition.partition), 0)
        for partition, end in ends.items()
    }
    return {name: messages for name, messages in left.items() if messages}


def first_places(environment: Mapping[str, str]) -> dict[str, int]:
    """Event id → the place of its first copy. Events of one user have the order in which they are counted, unless they
    are of several topics or their topic was made anew.
    """
    places: dict[str, int] = {}
    reader = Consumer(
        {
            "bootstrap.servers": environment["KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": "checker",
            "enable.auto.commit": False,
            "log_level": _ALERTS,
        }
    )
    try:
        for partition in _partitions(reader, environment):
            begin, end = reader.get_watermark_offsets(partition, timeout=_TIMEOUT_SEC)
            reader.assign([TopicPartition(partition.topic, partition.partition, OFFSET_BEGINNING)])
            at = begin
            while at < end:
                for message in reader.consume(min(1000, end - at), timeout=_TIMEOUT_SEC):
                    at = message.offset() + 1
                    event_id = dict(message.headers() or []).get("event_id")
                    if event_id is not None:
                        places.setdefault(event_id.decode(), len(places))
    finally:
        reader.close()
    return places


def _partitions(client: AdminClient | Consumer, environment: Mapping[str, str]) -> list[TopicPartition]:
    prefix = environment["KAFKA_TOPIC_PREFIX"]
    metadata = client.list_topics(timeout=_TIMEOUT_SEC).topics
    return [
        TopicPartition(prefix + topic, partition)
        for topic in TOPICS
        if prefix + topic in metadata
        for partition in metadata[prefix + topic].partitions
    ]
