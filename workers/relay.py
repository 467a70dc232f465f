"""Outbox relay: claim a batch, publish all of it, delete what Kafka acknowledged, commit.

Two lanes do this side by side, so that one claims while the other waits for Kafka. `SKIP LOCKED` keeps lanes and other
relay processes apart. Delivery is at least once: a crash between Kafka's acknowledgement and the commit publishes the
batch again, and the consumer counts each event once.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from msgspec import Struct

from app import metrics
from app.adapters import kafka, outbox
from app.adapters.outbox import OutboxRow, PutBack
from app.adapters.postgres import Database
from app.core.outbox import retry_delay
from app.core.retry import backoff
from app.errors import DependencyDown, describe
from app.supervisor import Progress, wait_for_stop
from workers.wake import OutboxWake

_log = structlog.get_logger(__name__)

_LANES: Final = 2
_OUTAGE_BASE_SEC: Final = 0.25
_OUTAGE_MAX_SEC: Final = 3.0
_CLIENT_TIMEOUT_SEC: Final = 5.0


class RelayOptions(Struct, frozen=True, kw_only=True):
    batch_size: int
    poll_interval_sec: float
    publish_timeout_sec: float
    max_attempts: int
    base_retry_sec: float
    max_retry_sec: float
    topic_prefix: str = ""


class BatchCounts(Struct, frozen=True):
    """What one turn did: rows claimed, published and deleted, put back for later, and turned dead."""

    claimed: int = 0
    published: int = 0
    put_back: int = 0
    dead: int = 0


class Relay:
    """`run` is the supervised task; `relay_batch` is one turn of it."""

    def __init__(self, database: Database, kafka_options: kafka.KafkaOptions, options: RelayOptions) -> None:
        self._database = database
        self._kafka_options = kafka_options
        self._options = options
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                wake = OutboxWake(self._database)
                listener = group.create_task(wake.listen())
                lanes = [group.create_task(self._lane(stop, wake, progress)) for _ in range(_LANES)]
                await stop.wait()
                wake.set()
                await asyncio.wait(lanes)
                listener.cancel()
        finally:
            await self._discard_producer()

    async def _lane(self, stop: asyncio.Event, wake: OutboxWake, progress: Progress) -> None:
        outages = 0
        while not stop.is_set():
            try:
                counts = await self.relay_batch()
            except DependencyDown as error:
                outages += 1
                metrics.RELAY_ERRORS.labels(error.dependency).inc()
                if outages == 1:
                    _log.warning("relay_waits", dependency=error.dependency, error=error.reason)
                progress.beat(f"waiting for {error.dependency}")
                delay = backoff(outages, base_sec=_OUTAGE_BASE_SEC, max_sec=_OUTAGE_MAX_SEC, chance=random.random())
                await wait_for_stop(stop, delay)
                continue
            if outages:
                _log.info("relay_resumes", after_failures=outages)
                outages = 0
            progress.beat()
            if counts.claimed < self._options.batch_size:
                await wake.wait(self._options.poll_interval_sec)

    async def relay_batch(self) -> BatchCounts:
        """Claims, publishes and settles one batch in one transaction.

        Raises `DependencyDown` when Kafka or Postgres is away; what Kafka acknowledged before that is deleted all the
        same, and the other rows are free again with their attempts as they were.
        """
        outage: DependencyDown | None = None
        async with self._database.connection() as connection, connection.transaction():
            rows = await outbox.claim_batch(connection, self._options.batch_size)
            if not rows:
                return BatchCounts()
            started = time.perf_counter()
            errors = await self._publish(rows)
            publish_ms = (time.perf_counter() - started) * 1000
            metrics.STAGE_LATENCY.labels("relay_publish").observe(publish_ms)
            published = [row for row, error in zip(rows, errors, strict=True) if error is None]
            faults = [
                self._put_back(row, error)
                for row, error in zip(rows, errors, strict=True)
                if error is not None and kafka.is_row_fault(error)
            ]
            if published:
                await outbox.delete_published(connection, [row.id for row in published])
            if faults:
                await outbox.put_back(connection, faults)
            if len(published) + len(faults) < len(rows):
                first = next(error for error in errors if error is not None and not kafka.is_row_fault(error))
                outage = DependencyDown("kafka", describe(first))
        counts = BatchCounts(
            claimed=len(rows),
            published=len(published),
            put_back=sum(fault.delay_sec is not None for fault in faults),
            dead=sum(fault.delay_sec is None for fault in faults),
        )
        self._count(counts, published, publish_ms)
        if outage is not None:
            await self._discard_producer()
            raise outage
        return counts

    async def _publish(self, rows: Sequence[OutboxRow]) -> list[BaseException | None]:
        """Sends all rows at once; for each, None when Kafka has it, or what went wrong."""
        producer = await self._started_producer()
        try:
            async with asyncio.timeout(self._options.publish_timeout_sec):
                refused = await self._refused_topics(producer, {row.topic for row in rows})
                sent = [refused[row.topic] if row.topic in refused else await self._send(producer, row) for row in rows]
                waiting = [future for future in sent if isinstance(future, asyncio.Future)]
                await asyncio.wait(waiting) if waiting else None
        except TimeoutError:
            # The batches still in the producer may reach Kafka later: a second copy, which the consumer drops.
            await self._discard_producer()
            raise DependencyDown("kafka", f"no acknowledgement in {self._options.publish_timeout_sec:g} s") from None
        except (KafkaError, OSError) as error:
            await self._discard_producer()
            raise DependencyDown("kafka", describe(error)) from error
        return [outcome.exception() if isinstance(outcome, asyncio.Future) else outcome for outcome in sent]

    async def _refused_topics(self, producer: AIOKafkaProducer, topics: set[str]) -> dict[str, BaseException]:
        """Topics that the broker does not have or does not let us write to: the fault of their rows alone."""
        refused: dict[str, BaseException] = {}
        for topic in topics:
            try:
                await producer.partitions_for(self._options.topic_prefix + topic)
            except KafkaError as error:
                if not kafka.is_row_fault(error):
                    raise
                refused[topic] = error
        return refused

    async def _send(self, producer: AIOKafkaProducer, row: OutboxRow) -> "asyncio.Future[object] | BaseException":
        try:
            acknowledged: asyncio.Future[object] = await producer.send(
                self._options.topic_prefix + row.topic,
                value=row.payload.encode(),
                key=row.message_key.encode(),
                headers=kafka.headers_of({"event_id": row.event_id, "traceparent": row.traceparent}),
            )
            return acknowledged
        except KafkaError as error:
            if not kafka.is_row_fault(error):
                raise
            fault: BaseException = error
            return fault

    def _put_back(self, row: OutboxRow, error: BaseException) -> PutBack:
        delay = retry_delay(
            row.attempts + 1,
            max_attempts=self._options.max_attempts,
            base_sec=self._options.base_retry_sec,
            max_sec=self._options.max_retry_sec,
            chance=random.random(),
        )
        return PutBack(row.id, delay, describe(error))

    def _count(self, counts: BatchCounts, published: Sequence[OutboxRow], publish_ms: float) -> None:
        metrics.RELAY_PUBLISHED.inc(counts.published)
        metrics.RELAY_RETRIED.inc(counts.put_back)
        metrics.RELAY_FAILED.inc(counts.dead)
        for row in published:
            metrics.RELAY_EVENT_LAG.observe(row.age_ms + publish_ms)
        if counts.dead or counts.put_back:
            _log.warning("relay_rows_refused", put_back=counts.put_back, dead=counts.dead)

    async def _started_producer(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                self._producer = await kafka.start_producer(self._kafka_options, timeout_sec=_CLIENT_TIMEOUT_SEC)
            return self._producer

    async def _discard_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await kafka.stop_client(producer, timeout_sec=1.0)
