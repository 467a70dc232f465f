"""Whether a topic is still the one that the offsets are about.

An offset is committed with the id of its topic as metadata. A topic that was deleted and created again has another id,
and an offset of the old topic means nothing in the new one: such a partition is read from its beginning. Events that
were counted before are recognised by their event ids. An offset without an id (an operator set it) is used as it is; so
is any while the broker gives no ids, as one of an older release among newer ones.

Offsets that Kafka no longer holds are replaced by the beginning of the partition, by the client itself.
"""

from collections.abc import Mapping

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata
from msgspec import Struct


class Recreated(Exception):
    """A topic was deleted, and perhaps created again, since we began to read it."""


class StartPlan(Struct, frozen=True):
    """Where to read from. Partitions in neither field have no offset: the client starts them at their beginning."""

    resumed: dict[TopicPartition, int]
    """Partition → the committed offset, which is valid."""
    restarted: list[TopicPartition]
    """Partitions whose committed offset belongs to a deleted topic: to be read from the beginning."""


def plan_start(committed: Mapping[TopicPartition, OffsetAndMetadata], topic_ids: Mapping[str, str]) -> StartPlan:
    """`committed`: the group's offsets, -1 where there is none. `topic_ids`: the topics as they are now."""
    resumed: dict[TopicPartition, int] = {}
    restarted: list[TopicPartition] = []
    for partition, state in committed.items():
        if state.offset < 0:
            continue
        topic_id = topic_ids.get(partition.topic)
        if not state.metadata or topic_id in ("", state.metadata):
            resumed[partition] = state.offset
        else:
            restarted.append(partition)
    return StartPlan(resumed, restarted)


def with_topic_ids(
    next_offsets: Mapping[TopicPartition, int], topic_ids: Mapping[str, str]
) -> dict[TopicPartition, tuple[int, str]]:
    """What to commit: each offset with the id of its topic as metadata, empty where the broker has no ids."""
    return {partition: (offset, topic_ids.get(partition.topic, "")) for partition, offset in next_offsets.items()}


def check_same_topics(known: Mapping[str, str], current: Mapping[str, str]) -> None:
    """Raises `Recreated` when a topic of `known` is missing in `current` or has another id there. Without an id, as
    long as some brokers of a cluster are of a release that gives none, nothing is known.
    """
    for topic, topic_id in known.items():
        if topic not in current:
            raise Recreated(f"topic {topic} was deleted")
        if topic_id and current[topic] not in ("", topic_id):
            raise Recreated(f"topic {topic} was deleted and created again")
