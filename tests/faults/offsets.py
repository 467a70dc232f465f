"""How far a consumer group is, asked from Kafka itself."""

from collections.abc import Mapping
from typing import Final

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from app.core.events import TOPICS

_TIMEOUT_SEC: Final = 20.0
_ALERTS: Final = 1  # of syslog's levels: that a broker is away is what we are here for


def uncommitted(environment: Mapping[str, str]) -> dict[str, object]:
    """Messages beyond the group's offsets, by `topic/partition`; partitions without any are left out.

    While Kafka does not answer, the reason as `unknown`.
    """
    try:
        return _uncommitted(environment)
    except KafkaException as error:
        return {"unknown": str(error)}


def _uncommitted(environment: Mapping[str, str]) -> dict[str, object]:
    admin = AdminClient({"bootstrap.servers": environment["KAFKA_BOOTSTRAP_SERVERS"], "log_level": _ALERTS})
    prefix = environment["KAFKA_TOPIC_PREFIX"]
    group = prefix + environment["FEATURE_CONSUMER_GROUP"]
    metadata = admin.list_topics(timeout=_TIMEOUT_SEC).topics
    partitions = [
        TopicPartition(prefix + topic, partition)
        for topic in TOPICS
        if prefix + topic in metadata
        for partition in metadata[prefix + topic].partitions
    ]
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
