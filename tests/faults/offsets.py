"""How far a consumer group is, asked from Kafka itself."""

from collections.abc import Mapping, Sequence
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from app.core.events import TOPICS

_TIMEOUT_SEC: Final = 20.0
_ALERTS: Final = 1  # of syslog's levels: that a broker is away is what we are here for


def uncommitted(environment: Mapping[str, str]) -> dict[str, object]:
    """Messages beyond the group's offsets, by `topic/partition`; partitions without any are left out.

    While Kafka does not answer, the reason as `unknown`.
    """
    group = environment["KAFKA_TOPIC_PREFIX"] + environment["FEATURE_CONSUMER_GROUP"]
    try:
        with _reader(environment, group) as reader:
            return _uncommitted(reader, _partitions(reader, environment))
    except KafkaException as error:
        return {"unknown": str(error)}


def first_places(environment: Mapping[str, str]) -> dict[str, int]:
    """Event id → the place of its first copy. Events of one user have the order in which they are counted, unless they
    are of several topics or their topic was made anew.
    """
    places: dict[str, int] = {}
    with _reader(environment, "checker") as reader:
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
    return places


def _reader(environment: Mapping[str, str], group: str) -> Consumer:
    """It joins no group. The offsets of one are asked with it because librdkafka 2.16 crashes the process when an admin
    client asks a broker that has just become the coordinator and loads the group.
    """
    options = {"group.id": group, "enable.auto.commit": False, "isolation.level": "read_uncommitted"}
    return Consumer({"bootstrap.servers": environment["KAFKA_BOOTSTRAP_SERVERS"], "log_level": _ALERTS, **options})


def _uncommitted(reader: Consumer, partitions: Sequence[TopicPartition]) -> dict[str, object]:
    left: dict[str, object] = {}
    for committed in reader.committed(list(partitions), timeout=_TIMEOUT_SEC) if partitions else ():
        if committed.error is not None:
            raise KafkaException(committed.error)
        _, end = reader.get_watermark_offsets(committed, timeout=_TIMEOUT_SEC)
        if messages := end - max(0, committed.offset):
            left[f"{committed.topic}/{committed.partition}"] = messages
    return left


def _partitions(reader: Consumer, environment: Mapping[str, str]) -> list[TopicPartition]:
    prefix = environment["KAFKA_TOPIC_PREFIX"]
    metadata = reader.list_topics(timeout=_TIMEOUT_SEC).topics
    return [
        TopicPartition(prefix + topic, partition)
        for topic in TOPICS
        if prefix + topic in metadata
        for partition in metadata[prefix + topic].partitions
    ]
