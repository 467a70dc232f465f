"""Outbox relay: claim a batch, publish all of it, delete what Kafka acknowledged, commit.

Two lanes do this side by side, so that one claims while the other waits for Kafka. With `SKIP LOCKED` lanes and relay
processes never claim the same rows. Delivery is at least once: a crash between Kafka's acknowledgement and the commit
publishes the batch again, and the consumer counts each event once.
"""

import asyncio
import math
import random
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import structlog
from msgspec import Struct, field

from app import metrics
from app.adapters import kafka, outbox
from app.adapters.outbox import OutboxRow, Reschedule
from app.adapters.postgres import Database
from app.core.batch_size import BatchSize
from app.core.failing_partitions import FailingPartitions, postponed_sec
from app.core.outbox import ClaimCursor, retry_delay
from app.errors import DependencyDown, TooLarge, describe
from app.process import process_name
from app.supervisor import Progress, wait_for_stop
from workers.outage import Outage, PassedOver, delay
from workers.publish_results import POSTPONED, PartitionDown, PublishResult, log_refused
from workers.publisher import Publisher
from workers.wake import OutboxWake

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_log = structlog.get_logger(__name__)

_EVENT_LAG: Final = metrics.RELAY_EVENT_LAG.labels().observe
_LANES: Final = 2
# Postgres ends the transaction of a relay that is frozen in a batch so long after the publish timeout.
_LEASE_SPARE_SEC: Final = 5.0
# While all rows wait for their partitions, a lane postpones at most so many a second.
_POSTPONED_A_SEC: Final = 1_000
# Rows of a lost connection's transaction stay locked until the server ends it, without a notification.
_LEASE_POLL_SEC: Final = 1.0


class RelayOptions(Struct, frozen=True, kw_only=True):
    batch_size: int
    poll_interval_sec: float
    publish_timeout_sec: float
    max_attempts: int
    base_retry_sec: float
    max_retry_sec: float
    statement_timeout_sec: float
    longest_insert_sec: float
    """No transaction that adds rows to the outbox takes longer."""
    topics: kafka.TopicOptions = kafka.TopicOptions()


class BatchCounts(Struct, frozen=True):
    """Rows of one turn: claimed, published, rescheduled, turned dead, and postponed without an attempt."""

    claimed: int = 0
    published: int = 0
    rescheduled: int = 0
    dead: int = 0
    postponed: int = 0
    more_in_sec: float = math.inf
    """When there may be more that is due: 0 for now."""

    @property
    def all_postponed(self) -> bool:
        return self.postponed == self.claimed > 0


class _Settled(Struct):
    """What has become of the rows of a batch so far; `down` when some of them were not acknowledged.

    `claimed`: as many as were asked for, until Postgres has answered. `after_id`: behind which id. `began`: since when
    the answer is waited for.
    """

    claimed: int
    after_id: int = 0
    began: float | None = None
    statements_sec: float = 0.0
    published: list[OutboxRow] = field(default_factory=list)
    refused: list[tuple[OutboxRow, BaseException]] = field(default_factory=list)
    rescheduled: list[Reschedule] = field(default_factory=list)
    postponed: dict[int, float] = field(default_factory=dict)
    down: DependencyDown | None = None


class Relay:
    """`run` is the supervised task; `relay_batch` is one turn of it."""

    def __init__(self, database: Database, kafka_options: kafka.KafkaOptions, options: RelayOptions) -> None:
        self._database = database
        self._kafka_options = kafka_options
        self._options = options
        self._cursor = ClaimCursor(options.longest_insert_sec)
        self._size = BatchSize(options.batch_size, budget_sec=options.statement_timeout_sec)
        self._outages: list[Outage] = []
        self._passed_over = PassedOver()
        self._failing = FailingPartitions()
        self._nothing_else = False

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        wake = OutboxWake(self._database)
        self._outages = [Outage() for _ in range(_LANES)]
        async with asyncio.TaskGroup() as group:
            listener = group.create_task(wake.listen())
            lanes = [group.create_task(self._lane(n, stop, wake, progress)) for n in range(1, _LANES + 1)]
            await stop.wait()
            wake.set()
            await asyncio.wait(lanes)
            listener.cancel()

    async def _lane(self, number: int, stop: asyncio.Event, wake: OutboxWake, progress: Progress) -> None:
        publisher = self.publisher()
        outage = self._outages[number - 1]
        locked_until = 0.0
        try:
            while not stop.is_set():
                try:
                    counts = await self.relay_batch(publisher)
                except DependencyDown as error:
                    locked_until = time.monotonic() + self._lease_sec
                    metrics.RELAY_ERRORS.labels(error.dependency).inc()
                    progress.failed(describe(error))
                    if outage.failed(error):
                        _log.warning("relay_waits", lane=number, dependency=error.dependency, error=error.reason)
                    progress.beat(self._detail())
                    smaller = isinstance(error, TooLarge) and self._size.limit > 1
                    await wait_for_stop(stop, 0.0 if smaller else delay(outage.failures))
                    continue
                resumed = self._resumes(kafka_answered=counts.claimed > counts.postponed)
                if counts.published or resumed:
                    progress.worked()
                elif counts.all_postponed:
                    progress.failed(self._passed_over.detail or "")
                elif counts.claimed:
                    progress.failed("Kafka refused every row of a batch, each for its own reason")
                progress.beat(self._detail())
                if self._all_wait(counts):
                    await wait_for_stop(stop, counts.postponed / _POSTPONED_A_SEC)
                if counts.more_in_sec > 0 and not stop.is_set():
                    locked = time.monotonic() < locked_until
                    longest_sec = _LEASE_POLL_SEC if locked else math.inf
                    await wake.wait(min(self._options.poll_interval_sec, longest_sec, counts.more_in_sec), progress)
        finally:
            await publisher.close()

    def _resumes(self, *, kafka_answered: bool) -> bool:
        """What works for one lane works for all. A claim without rows does not show that Kafka works.

        True when a lane had failed before.
        """
        working = ("postgres", "kafka") if kafka_answered else ("postgres",)
        resumed = False
        for lane, outage in enumerate(self._outages, 1):
            if failures := outage.worked(*working):
                _log.info("relay_resumes", lane=lane, after_failures=failures)
                resumed = True
        return resumed

    def _all_wait(self, counts: BatchCounts) -> bool:
        """Whether all rows wait for their partitions: since one was published, claims have come to the last row."""
        if counts.published:
            self._nothing_else = False
        elif counts.postponed == counts.claimed and counts.more_in_sec > 0:
            self._nothing_else = True
        return self._nothing_else and counts.all_postponed

    def _detail(self) -> str | None:
        """What a lane waits for, also while the other lane finds no rows."""
        return next((outage.detail for outage in self._outages if outage.detail), self._passed_over.detail)

    def publisher(self) -> Publisher:
        """The publisher of a lane; the caller closes it."""
        return Publisher(
            self._kafka_options, self._options.topics, self._failing, timeout_sec=self._options.publish_timeout_sec
        )

    async def relay_batch(self, publisher: Publisher) -> BatchCounts:
        """Claims, publishes and settles one batch in one transaction.

        Raises `DependencyDown` when Kafka or Postgres is away; rows that Kafka acknowledged before are
        deleted, and the others are released with their attempts unchanged. `TooLarge` when Postgres gave up on the
        batch: the next ones are smaller, for this one is published again.
        """
        settled = _Settled(self._size.limit)
        try:
            counts = await self._relay_batch(publisher, settled)
        except BaseException as error:
            self._cursor.restart()  # the claimed rows are released
            if isinstance(error, TooLarge):
                self._size.too_large(settled.claimed)
                if settled.began is not None:
                    self._cursor.gave_up(settled.after_id, began=settled.began, now=time.monotonic())
            raise
        self._size.fitted(counts.claimed, settled.statements_sec)
        if settled.down is not None:
            if not counts.published:
                self._cursor.restart()
            raise settled.down
        return counts

    async def _relay_batch(self, publisher: Publisher, settled: _Settled) -> BatchCounts:
        async with self._database.connection() as connection, connection.transaction():
            rows, more_in_sec = await self._claim(connection, settled)
            if not rows:
                return BatchCounts(more_in_sec=more_in_sec)
            started = time.perf_counter()
            results = list(zip(rows, await publisher.publish(rows), strict=True))
            too_large = [row for row, result in results if kafka.may_be_the_batch(result)]
            await self._settle(connection, settled, [pair for pair in results if not kafka.may_be_the_batch(pair[1])])
            down = [error for _, error in results if isinstance(error, PartitionDown)]
            self._passed_over.note(down, over=not publisher.passes_over_some)
            if too_large:
                # The statement before renewed the lease.
                alone = await publisher.publish_singly(too_large)
                await self._settle(connection, settled, list(zip(too_large, alone, strict=True)))
                if POSTPONED in alone:
                    self._cursor.restart()
        if len(settled.postponed) == len(rows):
            self._cursor.held_up(settled.after_id, time.monotonic())
        publish_ms = (time.perf_counter() - started) * 1000
        counts = BatchCounts(
            claimed=len(rows),
            published=len(settled.published),
            rescheduled=sum(row.delay_sec is not None for row in settled.rescheduled),
            dead=sum(row.delay_sec is None for row in settled.rescheduled),
            postponed=len(settled.postponed),
            more_in_sec=more_in_sec,
        )
        self._count(counts, settled.published, publish_ms)
        log_refused(settled.refused, settled.rescheduled)
        return counts

    async def _claim(self, connection: "Connection", settled: _Settled) -> tuple[list[OutboxRow], float]:
        """The rows, and in how many seconds another claim may find more."""
        limit, began = settled.claimed, time.monotonic()
        settled.began, settled.after_id = began, self._cursor.begin(began)
        rows = await outbox.claim_batch(connection, limit, after_id=settled.after_id, lease_sec=self._lease_sec)
        now = time.monotonic()
        settled.claimed, settled.began, settled.statements_sec = len(rows), None, now - began
        full = len(rows) == limit
        self._cursor.claimed(settled.after_id, rows[-1].id if rows else None, full=full, began=began, now=now)
        return rows, 0.0 if full else self._cursor.next_in(settled.after_id, now)

    async def _settle(
        self, connection: "Connection", settled: "_Settled", results: Sequence[tuple[OutboxRow, PublishResult]]
    ) -> None:
        """Deletes the rows that Kafka acknowledged, reschedules those that it refused, and postpones those whose
        partition takes nothing: first in the next batch, they would take the turns of the others.
        """
        published = [row for row, error in results if error is None]
        refused = [(row, error) for row, error in results if error is not None and kafka.is_row_error(error)]
        rescheduled = [self._reschedule(row, error) for row, error in refused]
        waiting = [row for row, error in results if isinstance(error, PartitionDown)]
        postponed = {row.id: postponed_sec(row.age_ms / 1000) for row in waiting}
        started = time.monotonic()
        await outbox.delete_published(connection, [row.id for row in published])
        if rescheduled:
            await outbox.reschedule(connection, rescheduled, process=process_name())
        if postponed:
            await outbox.postpone(connection, postponed)
        settled.statements_sec += time.monotonic() - started
        settled.published += published
        settled.refused += refused
        settled.rescheduled += rescheduled
        settled.postponed |= postponed
        for _, error in results:
            if isinstance(error, DependencyDown) and not isinstance(error, PartitionDown):
                settled.down = error

    @property
    def _lease_sec(self) -> float:
        return self._options.publish_timeout_sec + _LEASE_SPARE_SEC

    def _reschedule(self, row: OutboxRow, error: BaseException) -> Reschedule:
        delay_sec = retry_delay(
            row.attempts + 1,
            max_attempts=self._options.max_attempts,
            base_sec=self._options.base_retry_sec,
            max_sec=self._options.max_retry_sec,
            chance=random.random(),
        )
        return Reschedule(row.id, delay_sec, describe(error))

    def _count(self, counts: BatchCounts, published: Sequence[OutboxRow], publish_ms: float) -> None:
        metrics.STAGE_LATENCY.labels("relay_publish").observe(publish_ms)
        metrics.RELAY_PUBLISHED.inc(counts.published)
        metrics.RELAY_RETRIED.inc(counts.rescheduled)
        metrics.RELAY_FAILED.inc(counts.dead)
        for row in published:
            _EVENT_LAG(row.age_ms + publish_ms)
