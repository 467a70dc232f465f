"""The consumer's membership in its group: polls, commits, keeps the membership, and measures the lag."""

import asyncio
import contextlib
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import CommitFailedError, IllegalStateError

from app import metrics
from app.adapters import kafka, topic_settings
from app.adapters.kafka_bounds import bounded, bounded_again, by_leader, set_quiet, stop_consumer
from app.adapters.topic_ids import TopicIdReader
from app.core.events import TOPICS
from app.errors import DependencyDown
from workers import damaged_batches, lag
from workers.offsets import Offsets, Polled
from workers.topic_identity import check_same_topics, plan_start, with_topic_ids

_log = structlog.get_logger(__name__)

_START_TIMEOUT_SEC: Final = 10.0
_CALL_TIMEOUT_SEC: Final = 5.0
_SILENT_SEC: Final = 0.3
_CLOSE_TIMEOUT_SEC: Final = 2.0
_ASSIGNMENT_SEC: Final = 1.0
_OBSERVE_EVERY_SEC: Final = 1.0
_SETTINGS_EVERY_SEC: Final = 30.0
_QUIET_AFTER_SEC: Final = 10.0


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
        self._id_reader = TopicIdReader(metadata)
        self._topic_ids: dict[str, str] = {}
        self._offsets = Offsets()
        self._stall = lag.StallDetector(time.monotonic())
        self._silent: set[int] = set()
        """Leaders that did not say what waits when they were last asked."""
        self._silence = lag.StallDetector(time.monotonic(), "{} leaders do not say what waits")
        self._observed_at = 0.0
        self._settings_at = self._arrived_at = time.monotonic()
        self.waiting = 0
        """Messages of this member's partitions that are not counted yet, as last observed."""
        self._unknown = 0
        self._wrong_settings: Sequence[str] = ()
        """What somebody has changed on the topics since, with which Kafka may drop messages that nobody has read."""

    @classmethod
    async def open(cls, options: kafka.KafkaOptions, topics: kafka.TopicOptions, group: str) -> "Subscription":
        """Joins the group. Raises `DependencyDown`, also for topics that are missing and cannot be created."""
        names = [topics.prefix + topic for topic in TOPICS]
        await kafka.ensure_topics(options, TOPICS, topics, timeout_sec=_START_TIMEOUT_SEC)
        client = await kafka.start_consumer(options, group=group, timeout_sec=_START_TIMEOUT_SEC)
        subscription = cls(client, AIOKafkaClient(**options.client_arguments()), options, group)
        try:
            await bounded(subscription._metadata.bootstrap(), _CALL_TIMEOUT_SEC)
            subscription._topic_ids = await subscription._read_topic_ids(names)
            client.subscribe(names, listener=_Listener(subscription))
        except BaseException:
            await subscription.close()
            raise
        return subscription

    async def close(self) -> None:
        await stop_consumer(self._client, timeout_sec=_CLOSE_TIMEOUT_SEC)
        with contextlib.suppress(DependencyDown):
            await bounded(self._metadata.close(), _CLOSE_TIMEOUT_SEC)
        lag.drop(self._client.assignment())

    @property
    def troubles(self) -> Sequence[str]:
        """What operators should know although messages are read."""
        unknown = [f"of {self._unknown} no leader says what waits: start their brokers"] if self._unknown else []
        return [*unknown, *self._wrong_settings]

    @property
    def partitions(self) -> int:
        """How many partitions this member reads."""
        return len(self._client.assignment()) - len(self._offsets.unchecked)

    async def poll(self, *, timeout_ms: int, max_records: int) -> Polled:
        """What has arrived, at most `max_records`, in the order of each partition."""
        if self._offsets.unchecked:
            await self._admit()
        polled = await self._poll(timeout_ms, max_records)
        if polled.next_offsets:
            self._stall.moved(time.monotonic())
        return polled

    def holds(self, polled: Polled) -> bool:
        """False when the partitions were reassigned since: another member reads these records again."""
        return self._offsets.holds(polled)

    async def commit(self, polled: Polled) -> None:
        """Commits what was polled, and nothing else; nothing at all when the assignment has changed."""
        self._offsets.settled()
        try:
            if self.holds(polled):
                offsets = with_topic_ids(polled.next_offsets, self._topic_ids)
                await bounded_again(lambda: self._client.commit(offsets), _CALL_TIMEOUT_SEC)
                return
        except DependencyDown as error:
            if not isinstance(error.__cause__, CommitFailedError | IllegalStateError):
                raise
        # The group has moved on: another member reads these again and finds them counted.
        metrics.CONSUMER_ERRORS.labels("commit").inc()
        _log.info("offset_commit_refused", partitions=len(polled.next_offsets))

    async def keep_alive(self) -> None:
        """Polls with everything paused, so that the group keeps this member while a batch waits for Postgres."""
        self._client.pause(*self._client.assignment())
        await self._get(timeout_ms=0)
        self._stall.moved(time.monotonic())
        await self.observe()

    def resume(self) -> None:
        """Ends the pause of `keep_alive`."""
        self._client.resume(*self._client.paused().difference(self._offsets.unchecked))

    async def observe(self) -> None:
        """Once a second: the lag by the broker's end offsets, and the topics' ids.

        Raises `Stuck` when messages wait and none arrives for long, and `Recreated` when a topic was replaced.
        """
        now = time.monotonic()
        if now - self._observed_at < _OBSERVE_EVERY_SEC:
            return
        self._observed_at = now
        check_same_topics(self._topic_ids, await self._read_topic_ids(list(self._topic_ids)))
        if now - self._settings_at >= _SETTINGS_EVERY_SEC:
            self._settings_at = now
            with contextlib.suppress(DependencyDown):  # a broker that goes away is no reason to leave the group
                await self._check_settings()
        self.waiting = await self._observe_lag()
        if self._client.paused():
            self._stall.moved(now)
        self._stall.check(self.waiting, now)

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """From the rebalance: these are not read before their offsets have been checked."""
        self._offsets.assigned(partitions)
        self._client.pause(*partitions)

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        self._offsets.revoked()
        lag.drop(partitions)

    async def _poll(self, timeout_ms: int, max_records: int) -> Polled:
        parts: dict[TopicPartition, list[ConsumerRecord]] = {}
        try:
            parts = await self._get(timeout_ms=timeout_ms, max_records=max_records)
        except Exception as error:
            if not damaged_batches.may_come_from_a_batch(error):
                raise
            found = await damaged_batches.read_again(
                self._client, self._metadata, self._offsets, max_records=max_records
            )
            if found is None:
                raise
            return found
        now = time.monotonic()
        self._arrived_at = now if parts else self._arrived_at
        set_quiet(self._client, quiet=now - self._arrived_at >= _QUIET_AFTER_SEC)
        polled = Polled(
            [record for records in parts.values() for record in records],
            {partition: records[-1].offset + 1 for partition, records in parts.items()},
            self._offsets.generation,
        )
        self._offsets.took({partition: records[0].offset for partition, records in parts.items()}, polled.next_offsets)
        return polled

    async def _get(
        self, *, timeout_ms: int, max_records: int | None = None
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        """What the client has. Nothing during a rebalance, for whose end it would wait however long it takes."""
        try:
            async with asyncio.timeout(timeout_ms / 1000 + _ASSIGNMENT_SEC) as deadline:
                parts: dict[TopicPartition, list[ConsumerRecord]] = await self._client.getmany(
                    timeout_ms=timeout_ms, max_records=max_records
                )
                return parts
        except TimeoutError:
            if not deadline.expired():
                raise
            return {}

    async def _admit(self) -> None:
        """Lets the new partitions be read, each from where the group stands or from its beginning."""
        generation, partitions = self._offsets.generation, sorted(self._offsets.unchecked)
        call = kafka.committed_offsets(self._options, self._group, partitions)
        plan = plan_start(await bounded(call, _CALL_TIMEOUT_SEC), self._topic_ids)
        beginnings: dict[TopicPartition, int] = {}
        if plan.restarted:
            led = [one for part in by_leader(self._client, plan.restarted).values() for one in part]
            beginnings = dict.fromkeys(plan.restarted, 0)  # the first there is, where nobody says which that is
            beginnings |= await bounded(self._client.beginning_offsets(led), _CALL_TIMEOUT_SEC)
        if generation != self._offsets.generation:
            return  # reassigned meanwhile: the next poll starts over
        for partition, offset in beginnings.items():
            _log.warning("topic_recreated", topic=partition.topic, partition=partition.partition, read_from=offset)
            self._client.seek(partition, offset)
        for partition, offset in plan.resumed.items():
            # The client asks for it as well, and would take an answer without offsets for a new group.
            self._client.seek(partition, offset)
        self._offsets.admitted(plan.resumed)
        self._observed_at = 0.0  # how much waits in these is known after the next batch
        self._client.resume(*partitions)

    async def _read_topic_ids(self, names: Sequence[str]) -> dict[str, str]:
        return await bounded_again(lambda: self._id_reader.read(names), _CALL_TIMEOUT_SEC)

    async def _check_settings(self) -> None:
        found = await kafka.read_topic_settings(self._options, list(self._topic_ids), timeout_sec=_CALL_TIMEOUT_SEC)
        self._wrong_settings = [str(wrong) for wrong in topic_settings.report(found)]
        for wrong in self._wrong_settings:
            _log.warning("topic_setting_wrong", reason=wrong)

    async def _observe_lag(self) -> int:
        """Sets the gauges; returns the messages that are not counted yet. A partition without a leader is left out, and
        so is for a while what one of several leaders does not tell: another membership, which costs all members a
        rebalance, would not help. Raises `DependencyDown` when none tells, and `Stuck` when one does not for long.
        """
        ours = self._client.assignment().difference(self._offsets.unchecked)
        generation = self._offsets.generation
        leaders = by_leader(self._client, ours)
        told = await asyncio.gather(*map(self._lags_at_leader, leaders, leaders.values()))
        if generation != self._offsets.generation:
            return 0  # the question was about partitions that are no longer ours
        if told and not any(told):
            raise DependencyDown("kafka", "no leader says what waits")
        self._silent = {leader for leader, part in zip(leaders, told, strict=True) if not part}
        self._silence.check(len(self._silent), time.monotonic())
        found = {partition: waiting for part in told for partition, waiting in part.items()}
        self._unknown = len(ours) - len(found)
        lag.show(found)
        return sum(found.values())

    async def _lags_at_leader(self, leader: int, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """None when it does not answer in time: little for one that was silent, since messages of others wait."""
        within_sec = _SILENT_SEC if leader in self._silent else _CALL_TIMEOUT_SEC
        try:
            ends = await bounded_again(lambda: self._client.end_offsets(partitions), within_sec)
            positions = await bounded(self._positions(partitions), within_sec)
        except DependencyDown:
            return {}
        return lag.lags(ends, positions, self._offsets.in_hand)

    async def _positions(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: await self._client.position(partition) for partition in partitions}


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells the subscription. It awaits nothing, because the group waits for it."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._subscription.revoked(revoked)

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._subscription.assigned(assigned)
