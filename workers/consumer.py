"""Feature consumer: a batch of Kafka messages is one Postgres transaction, then the cache, then the offsets.

Exactly once in its effect: dedupe rows, features and dead letters commit together, and what Kafka delivers again is
known by its event id. A batch that fails for its data is halved until the bad message is alone.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from msgspec import Struct

from app import metrics
from app.adapters import kafka
from app.adapters.history_cache import HistoryCache, Versioned
from app.adapters.postgres import Database
from app.core.events import TOPICS
from app.core.messages import WatchMessage
from app.core.retry import backoff
from app.errors import DependencyDown, describe
from app.supervisor import Progress, wait_for_stop
from workers.batch import Applied, FeatureWriter, Incoming, read_record

_log = structlog.get_logger(__name__)

_CLIENT_TIMEOUT_SEC: Final = 10.0
_COMMIT_TIMEOUT_SEC: Final = 5.0
_OUTAGE_BASE_SEC: Final = 0.25
_OUTAGE_MAX_SEC: Final = 3.0
_LAG_EVERY_SEC: Final = 1.0
_LAG_TIMEOUT_SEC: Final = 2.0
# A client may stay stuck after a broker's restart without saying so (aio-libs/aiokafka#1154, #625, #847).
_STUCK_AFTER_SEC: Final = 20.0


class ConsumerOptions(Struct, frozen=True, kw_only=True):
    group: str
    poll_timeout_ms: int
    max_poll_records: int
    max_retries_per_message: int
    topic_prefix: str = ""
    topic_partitions: int = 6
    topic_replication_factor: int = 1


class Stuck(Exception):
    """There is lag and nothing arrives: the client is of no use any more."""


class FeatureConsumer:
    """`run` is the supervised task; `consume_batch` is one turn of it."""

    def __init__(
        self,
        database: Database,
        cache: HistoryCache | None,
        kafka_options: kafka.KafkaOptions,
        options: ConsumerOptions,
    ) -> None:
        self._database = database
        self._cache = cache
        self._kafka_options = kafka_options
        self._options = options
        self._writer = FeatureWriter(database, max_retries=options.max_retries_per_message)
        self._client: AIOKafkaConsumer | None = None
        self._lag_at = 0.0
        self._moved_at = 0.0

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        failures = 0
        try:
            while not stop.is_set():
                try:
                    await self.consume_batch(stop, progress)
                except (DependencyDown, KafkaError, Stuck) as error:
                    failures += 1
                    self._note(error, failures)
                    await self._discard_client()
                    progress.beat(f"waiting: {describe(error)}")
                    await wait_for_stop(stop, _outage_delay(failures))
                else:
                    failures = 0
                    progress.beat()
        finally:
            await self._discard_client()

    async def consume_batch(self, stop: asyncio.Event, progress: Progress) -> int:
        """Polls once, and carries what came all the way; returns how many messages that were.

        Raises `DependencyDown` when Kafka is away. An outage of Postgres it waits out, paused, with the batch in hand.
        """
        client = await self._started_client()
        polled: dict[Any, list[ConsumerRecord]] = await client.getmany(
            timeout_ms=self._options.poll_timeout_ms, max_records=self._options.max_poll_records
        )
        records = [record for part in polled.values() for record in part]
        if not records:
            await self._observe_lag(client)
            return 0
        self._moved_at = time.monotonic()
        prefix = self._options.topic_prefix
        incoming = [read_record(record, topic=record.topic.removeprefix(prefix)) for record in records]
        applied = await self._apply(client, incoming, stop, progress)
        if applied is None:
            return 0  # told to stop during an outage: the offsets stay where they are
        await self._write_through(applied.histories)
        await self._commit(client)
        self._count(incoming, applied)
        await self._observe_lag(client)
        return len(records)

    async def _apply(
        self, client: AIOKafkaConsumer, incoming: Sequence[Incoming], stop: asyncio.Event, progress: Progress
    ) -> Applied | None:
        """Applies the batch; while Postgres is away, pauses and keeps polling, lest the group gives us up."""
        failures = 0
        while True:
            try:
                applied = await self._writer.apply(incoming)
            except DependencyDown as error:
                failures += 1
                self._note(error, failures)
                progress.beat(f"waiting: {describe(error)}")
            else:
                if failures:
                    client.resume(*client.paused())
                return applied
            client.pause(*client.assignment())
            await client.getmany(timeout_ms=0)
            if await wait_for_stop(stop, _outage_delay(failures)):
                return None
            await self._observe_lag(client)

    async def _write_through(self, histories: dict[str, Versioned]) -> None:
        """Best effort: an entry that could not be written is older than Postgres until it expires or is written."""
        if self._cache is None or not histories:
            return
        try:
            await self._cache.put_many(histories)
        except DependencyDown as error:
            metrics.CONSUMER_ERRORS.labels(error.dependency).inc()

    async def _commit(self, client: AIOKafkaConsumer) -> None:
        """The offsets of what was polled."""
        try:
            await kafka.bounded(client.commit(), _COMMIT_TIMEOUT_SEC)
        except DependencyDown as error:
            if not isinstance(error.__cause__, CommitFailedError | IllegalStateError):
                raise
            # The group has moved on: another member reads these again and finds them counted.
            metrics.CONSUMER_ERRORS.labels("commit").inc()
            _log.info("offset_commit_refused", error=error.reason)

    async def _observe_lag(self, client: AIOKafkaConsumer) -> None:
        """The lag by the broker's own end offsets, once a second. Raises `Stuck` when it does not shrink for long."""
        now = time.monotonic()
        if now - self._lag_at < _LAG_EVERY_SEC:
            return
        self._lag_at = now
        partitions = list(client.assignment())
        ends, positions = await kafka.bounded(_offsets(client, partitions), _LAG_TIMEOUT_SEC)
        total = 0
        for partition, end in ends.items():
            lag = max(0, end - positions[partition])
            metrics.CONSUMER_LAG.labels(partition.topic, str(partition.partition)).set(lag)
            total += lag
        if total == 0 or client.paused():
            self._moved_at = now
        elif now - self._moved_at > _STUCK_AFTER_SEC:
            raise Stuck(f"{total} messages wait, and none arrived for {_STUCK_AFTER_SEC:g} s")

    def _count(self, incoming: Sequence[Incoming], applied: Applied) -> None:
        metrics.CONSUMER_BATCH.observe(len(incoming))
        metrics.CONSUMER_PROCESSED.labels("applied").inc(applied.counted)
        metrics.CONSUMER_PROCESSED.labels("duplicate").inc(applied.duplicates)
        metrics.CONSUMER_PROCESSED.labels("dlq").inc(applied.dead)
        metrics.DLQ_EVENTS.labels("stored").inc(applied.dead)
        now_ms = time.time() * 1000
        for item in incoming:
            if item.message is not None:
                metrics.CONSUMER_EVENT_LAG.observe(max(0.0, now_ms - item.message.ts_ms))
                if isinstance(item.message, WatchMessage):
                    metrics.WATCH_TO_FEATURE.observe(max(0.0, now_ms - item.message.received_ms))

    def _note(self, error: Exception, failures: int) -> None:
        kind = error.dependency if isinstance(error, DependencyDown) else type(error).__name__
        metrics.CONSUMER_ERRORS.labels(kind).inc()
        if failures == 1:
            _log.warning("consumer_waits", error=describe(error))

    async def _started_client(self) -> AIOKafkaConsumer:
        if self._client is None:
            topics = [self._options.topic_prefix + topic for topic in TOPICS]
            await kafka.ensure_topics(
                self._kafka_options,
                topics,
                partitions=self._options.topic_partitions,
                replication_factor=self._options.topic_replication_factor,
                timeout_sec=_CLIENT_TIMEOUT_SEC,
            )
            client = await kafka.start_consumer(
                self._kafka_options, group=self._options.group, timeout_sec=_CLIENT_TIMEOUT_SEC
            )
            client.subscribe(topics)
            self._client = client
            self._moved_at = time.monotonic()
        return self._client

    async def _discard_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await kafka.stop_client(client, timeout_sec=2.0)


def _outage_delay(failures: int) -> float:
    return backoff(failures, base_sec=_OUTAGE_BASE_SEC, max_sec=_OUTAGE_MAX_SEC, chance=random.random())


async def _offsets(
    client: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """The end of each partition, and where we stand in it."""
    if not partitions:
        return {}, {}
    ends: dict[TopicPartition, int] = await client.end_offsets(partitions)
    return ends, {partition: await client.position(partition) for partition in partitions}
