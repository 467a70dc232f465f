"""The consumer's side of Kafka: what is ours to read, how far we are, and whether the topic is still the same.

An offset is committed with the id of its topic beside it. A topic that was deleted and made anew has another id, and an
offset of the old one says nothing about it: such a partition is read from its beginning, and what was counted before is
known by its event ids. An offset without an id (an operator set it) is taken as it is. Offsets that Kafka no longer
holds, for retention or because the group's were lost, are replaced by the beginning of the partition.

A batch that cannot be read (its checksum, its compression) is told with its bytes, and what is behind it is read on.
"""

import contextlib
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    CommitFailedError,
    CorruptRecordException,
    IllegalStateError,
    KafkaError,
    RecordTooLargeError,
    UnsupportedCodecError,
)
from msgspec import Struct

from app import metrics
from app.adapters import kafka, record_batches, topic_ids
from app.adapters.record_batches import Unreadable
from app.core.events import TOPICS
from app.errors import DependencyDown

_log = structlog.get_logger(__name__)

_START_TIMEOUT_SEC: Final = 10.0
_CALL_TIMEOUT_SEC: Final = 5.0
_CLOSE_TIMEOUT_SEC: Final = 2.0
_OBSERVE_EVERY_SEC: Final = 1.0
# A client may stay stuck after a broker's restart without saying so (aio-libs/aiokafka#1154, #625, #847).
_STUCK_AFTER_SEC: Final = 20.0
# The errors of Kafka's own kind that come from a batch; a codec's errors are of no kind in particular.
_BATCH_FAULTS: Final = (CorruptRecordException, UnsupportedCodecError, RecordTooLargeError)


class Stuck(Exception):
    """There is lag and nothing arrives: the client is of no use any more."""


class Recreated(Exception):
    """A topic is no longer the one that we began to read."""


class Polled(Struct, frozen=True):
    """What one poll returned, and in which generation of the assignment. `unreadable` stands behind the records."""

    records: list[ConsumerRecord]
    next_offsets: dict[TopicPartition, int]
    generation: int
    unreadable: Unreadable | None = None


class Subscription:
    """One membership in the group, from `open` to `close`; after an error it is closed and another one opened.

    `DependencyDown` from any call means that Kafka is away or does not answer in time.
    """

    def __init__(
        self, client: AIOKafkaConsumer, metadata: AIOKafkaClient, options: kafka.KafkaOptions, group: str
    ) -> None:
        self._client = client
        self._metadata = metadata
        self._options = options
        self._group = group
        self._generation = 0
        self._unchecked: set[TopicPartition] = set()
        self._topic_ids: dict[str, str] = {}
        self._in_hand: dict[TopicPartition, int] = {}
        self._next: dict[TopicPartition, int] = {}
        self._observed_at = 0.0
        self._moved_at = time.monotonic()

    @classmethod
    async def open(cls, options: kafka.KafkaOptions, topics: kafka.TopicOptions, group: str) -> "Subscription":
        """Joins the group. Raises `DependencyDown`, also for topics that are missing and cannot be made."""
        names = [topics.prefix + topic for topic in TOPICS]
        await kafka.ensure_topics(options, TOPICS, topics, timeout_sec=_START_TIMEOUT_SEC)
        client = await kafka.start_consumer(options, group=group, timeout_sec=_START_TIMEOUT_SEC)
        subscription = cls(client, AIOKafkaClient(**options.client_arguments()), options, group)
        try:
            await kafka.bounded(subscription._metadata.bootstrap(), _CALL_TIMEOUT_SEC)
            subscription._topic_ids = await subscription._read_topic_ids(names)
            client.subscribe(names, listener=_Listener(subscription))
        except BaseException:
            await subscription.close()
            raise
        return subscription

    async def close(self) -> None:
        await kafka.stop_client(self._client, timeout_sec=_CLOSE_TIMEOUT_SEC)
        with contextlib.suppress(DependencyDown):
            await kafka.bounded(self._metadata.close(), _CLOSE_TIMEOUT_SEC)
        self._drop_gauges(self._client.assignment())

    async def poll(self, *, timeout_ms: int, max_records: int) -> Polled:
        """The next records, at most `max_records`, in the order of each partition."""
        if self._unchecked:
            await self._admit()
        parts: dict[TopicPartition, list[ConsumerRecord]] = {}
        try:
            parts = await self._client.getmany(timeout_ms=timeout_ms, max_records=max_records)
        except Exception as error:
            if isinstance(error, KafkaError) and not isinstance(error, _BATCH_FAULTS):
                raise
            found = await self._read_again(max_records)
            if found is None:
                raise
            return found
        polled = Polled(
            [record for records in parts.values() for record in records],
            {partition: records[-1].offset + 1 for partition, records in parts.items()},
            self._generation,
        )
        self._take(polled, {partition: records[0].offset for partition, records in parts.items()})
        return polled

    def _take(self, polled: Polled, first_offsets: dict[TopicPartition, int]) -> None:
        self._in_hand = first_offsets
        self._next |= polled.next_offsets
        if polled.next_offsets:
            self._moved_at = time.monotonic()

    async def _read_again(self, max_records: int) -> Polled | None:
        """After a poll that failed for a batch: what stands before that batch, and the batch. None if there is none."""
        generation, ours = self._generation, sorted(self._client.assignment() - self._unchecked)
        beginnings = await kafka.bounded(self._client.beginning_offsets(ours), _CALL_TIMEOUT_SEC)
        starts = {partition: max(self._next.get(partition, 0), beginnings[partition]) for partition in ours}
        search = record_batches.find_damaged(self._metadata, starts, max_records=max_records)
        damaged = await kafka.bounded(search, _CALL_TIMEOUT_SEC)
        if generation != self._generation:
            return Polled([], {}, self._generation)
        if damaged is None:
            return None
        partition, reading = damaged
        # The client has lost count of all of them.
        for each, offset in (starts | {partition: reading.next_offset}).items():
            self._client.seek(each, offset)
        polled = Polled(reading.records, {partition: reading.next_offset}, generation, reading.unreadable)
        self._take(polled, {partition: starts[partition]})
        return polled

    def holds(self, polled: Polled) -> bool:
        """False when the partitions have been dealt out anew since: somebody reads these records again."""
        return polled.generation == self._generation

    async def commit(self, polled: Polled) -> None:
        """Commits what was polled, and nothing that was not; nothing at all when the assignment has changed."""
        self._in_hand = {}
        offsets = {
            partition: (offset, self._topic_ids.get(partition.topic, ""))
            for partition, offset in polled.next_offsets.items()
        }
        try:
            if self.holds(polled):
                await kafka.bounded(self._client.commit(offsets), _CALL_TIMEOUT_SEC)
                return
        except DependencyDown as error:
            if not isinstance(error.__cause__, CommitFailedError | IllegalStateError):
                raise
        # The group has moved on: another member reads these again and finds them counted.
        metrics.CONSUMER_ERRORS.labels("commit").inc()
        _log.info("offset_commit_refused", partitions=len(offsets))

    async def keep_alive(self) -> None:
        """Polls with everything paused, lest the group gives us up while a batch waits for Postgres."""
        self._client.pause(*self._client.assignment())
        await self._client.getmany(timeout_ms=0)
        self._moved_at = time.monotonic()
        await self.observe()

    def resume(self) -> None:
        """Ends what `keep_alive` has paused."""
        self._client.resume(*(self._client.paused() - self._unchecked))

    async def observe(self) -> None:
        """Once a second: the lag by the broker's end offsets, and the topics' ids.

        Raises `Stuck` when the lag does not shrink for long, and `Recreated` when a topic is another one now.
        """
        now = time.monotonic()
        if now - self._observed_at < _OBSERVE_EVERY_SEC:
            return
        self._observed_at = now
        current = await self._read_topic_ids(list(self._topic_ids))
        for topic, topic_id in self._topic_ids.items():
            if current.get(topic) != topic_id:
                raise Recreated(f"topic {topic} was deleted" + (" and made anew" if topic in current else ""))
        total = await self._observe_lag()
        if total == 0 or self._client.paused():
            self._moved_at = now
        elif now - self._moved_at > _STUCK_AFTER_SEC:
            raise Stuck(f"{total} messages wait, and none arrived for {_STUCK_AFTER_SEC:g} s")

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """From the rebalance: nothing is read of these before their offsets have been looked at."""
        self._generation += 1
        self._next = {}
        self._unchecked = set(partitions)
        self._client.pause(*partitions)

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        self._generation += 1
        self._unchecked.clear()
        self._in_hand = {}
        self._drop_gauges(partitions)

    async def _admit(self) -> None:
        """Lets the new partitions be read: from where the group stands, or from the beginning (see the module)."""
        generation, partitions = self._generation, sorted(self._unchecked)
        call = kafka.committed_offsets(self._options, self._group, partitions)
        committed = await kafka.bounded(call, _CALL_TIMEOUT_SEC)
        strange = [
            partition
            for partition in partitions
            if partition in committed
            and committed[partition].offset >= 0
            and committed[partition].metadata not in ("", None, self._topic_ids.get(partition.topic))
        ]
        beginnings: dict[TopicPartition, int] = {}
        if strange:
            beginnings = await kafka.bounded(self._client.beginning_offsets(strange), _CALL_TIMEOUT_SEC)
        if generation != self._generation:
            return  # dealt out anew meanwhile: the next poll begins again
        self._next = {
            partition: state.offset
            for partition, state in committed.items()
            if state.offset >= 0 and partition not in beginnings
        }
        for partition, offset in beginnings.items():
            _log.warning("topic_recreated", topic=partition.topic, partition=partition.partition, read_from=offset)
            self._client.seek(partition, offset)
        self._unchecked.clear()
        self._client.resume(*partitions)

    async def _read_topic_ids(self, names: Sequence[str]) -> dict[str, str]:
        return await kafka.bounded(topic_ids.read(self._metadata, names), _CALL_TIMEOUT_SEC)

    async def _observe_lag(self) -> int:
        partitions = list(self._client.assignment() - self._unchecked)
        if not partitions:
            return 0
        generation = self._generation
        try:
            ends = await kafka.bounded(self._client.end_offsets(partitions), _CALL_TIMEOUT_SEC)
            positions = await kafka.bounded(self._positions(partitions), _CALL_TIMEOUT_SEC)
        except DependencyDown:
            if generation != self._generation:
                return 0  # the question was about partitions that are no longer ours
            raise
        total = 0
        for partition, end in ends.items():
            lag = max(0, end - self._in_hand.get(partition, positions[partition]))
            metrics.CONSUMER_LAG.labels(partition.topic, str(partition.partition)).set(lag)
            total += lag
        return total

    async def _positions(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: await self._client.position(partition) for partition in partitions}

    def _drop_gauges(self, partitions: Iterable[TopicPartition]) -> None:
        """Whoever reads these partitions now tells their lag."""
        for partition in partitions:
            with contextlib.suppress(KeyError):
                metrics.CONSUMER_LAG.remove(partition.topic, str(partition.partition))


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells the subscription; it awaits nothing, for the group waits for it."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._subscription.revoked(revoked)

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._subscription.assigned(assigned)
