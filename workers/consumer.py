"""Feature consumer: a batch of Kafka messages is one Postgres transaction, then the cache, then the offsets.

Each event counts once: dedupe rows, features and dead letters commit together, and a message that Kafka delivers again
is recognised by its event id. A batch that fails for its data is halved until the bad message is alone; one that
Postgres gives up on for its size is applied in smaller parts.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from msgspec import Struct

from app import metrics
from app.adapters import cache_epoch, kafka
from app.adapters.history_cache import HistoryCache, Settled
from app.adapters.postgres import Database
from app.clock import clock
from app.core.batch_size import BatchSize
from app.core.brake import Brake
from app.core.messages import WatchMessage
from app.core.pacing import interval_sec
from app.core.thinning import Thinning
from app.errors import DependencyDown, TooLarge, UserError, describe
from app.supervisor import Progress, wait_for_stop
from workers import spans, traces
from workers.applied import Applied
from workers.batch import Braked, FeatureWriter
from workers.incoming import Incoming, read_record, read_unreadable, was_replayed
from workers.lag import Stuck
from workers.learner import LearnerTask
from workers.offsets import Polled
from workers.outage import Outage, delay, kind_of
from workers.subscription import Subscription
from workers.topic_identity import Recreated

_log = structlog.get_logger(__name__)

# How often a consumer that holds a batch says that it does.
_TURN_SEC: Final = 1.0
# The client fetches no more of a partition while it has messages of it.
_GATHER_SEC: Final = 0.02
_EVENT_LAG: Final = metrics.CONSUMER_EVENT_LAG.labels().observe
_WATCH_TO_FEATURE: Final = metrics.WATCH_TO_FEATURE.labels().observe


class ConsumerOptions(Struct, frozen=True, kw_only=True):
    group: str
    poll_timeout_ms: int
    max_poll_records: int
    max_retries_per_message: int
    statement_timeout_sec: float
    brake_retry_sec: float = 60.0
    """How long the brake holds a message before it is tried again; 0: no brake."""
    thin_pairs_lag: int = 0
    """At how many waiting messages of a member its pairs are thinned; 0: never."""
    topics: kafka.TopicOptions = kafka.TopicOptions()


class FeatureConsumer:
    """`run` is the supervised task; `consume_batch` is one turn of it."""

    def __init__(
        self,
        database: Database,
        cache: HistoryCache | None,
        kafka_options: kafka.KafkaOptions,
        options: ConsumerOptions,
        late: traces.LateFeatures,
        *,
        member: int = 1,
        learner: LearnerTask | None = None,
    ) -> None:
        """`late`, `learner`: of all members of the process. `member`: which of them this is, for the log."""
        self._kafka_options = kafka_options
        self._options = options
        self._writer = FeatureWriter(
            database,
            max_retries=options.max_retries_per_message,
            brake=Brake() if options.brake_retry_sec else None,
            sampler=None if learner is None else learner.sampler,
        )
        self._learner = learner
        self._thinning = Thinning(options.thin_pairs_lag)
        self._thins = metrics.CONSUMER_THINS.labels(str(member))
        self._thins.set(0)
        self._size = BatchSize(options.max_poll_records, budget_sec=options.statement_timeout_sec)
        self._database = database
        self._cache = cache
        self._late = late
        self._log = _log.bind(member=member)
        self._subscription: Subscription | None = None
        self._began_at, self._began_with = 0.0, 0

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        outage = Outage()
        try:
            while not stop.is_set():
                try:
                    await self.consume_batch(stop, progress)
                except (DependencyDown, KafkaError, Stuck, Recreated, UserError) as error:
                    self._waits(outage, error)
                    progress.failed(describe(error))
                    await self.close()
                    progress.beat(outage.detail)
                    await wait_for_stop(stop, delay(outage.failures))
                else:
                    if outage.failures:
                        progress.worked()
                    self._resumes(outage)
                    progress.beat(self._assignment())
        finally:
            self._late.flush(now_ms=clock.now_ms())
            await self.close()

    async def consume_batch(self, stop: asyncio.Event, progress: Progress) -> int:
        """Polls once and processes the messages completely; returns their number.

        Raises `DependencyDown` when Kafka is away. During an outage of Postgres it waits, paused.
        """
        if self._subscription is None:
            self._subscription = await Subscription.open(self._kafka_options, self._options.topics, self._options.group)
        subscription = self._subscription
        polled = await subscription.poll(
            timeout_ms=self._options.poll_timeout_ms, max_records=self._options.max_poll_records
        )
        if polled.next_offsets:
            polled = await self._gather(subscription, polled, stop)
        if polled.next_offsets:
            began_ns = time.time_ns()
            incoming = self._read(polled)
            applied = await self._apply(subscription, polled, incoming, stop, progress)
            counted_ns = time.time_ns()
            if applied is None:
                return 0  # the offsets stay where they are
            await subscription.commit(polled)
            progress.worked()
            self._count(incoming, applied)
            spans.counted(incoming, began_ns=began_ns, counted_ns=counted_ns, ended_ns=time.time_ns())
        else:
            self._late.add([], now_ms=clock.now_ms())
        await subscription.observe()
        self._follow_lag(subscription.waiting)
        return len(polled.records)

    async def _gather(self, subscription: Subscription, polled: Polled, stop: asyncio.Event) -> Polled:
        """Adds what comes until it is time for the next batch, the batch is full, or the process is to stop."""
        largest = self._options.max_poll_records
        begins_at = self._began_at + interval_sec(self._began_with)
        while (left := begins_at - time.monotonic()) > 0 and len(polled.records) < largest:
            if polled.unreadable is not None or await wait_for_stop(stop, min(left, _GATHER_SEC)):
                break
            more = await subscription.poll(timeout_ms=0, max_records=largest - len(polled.records))
            polled = polled.followed_by(more)
        self._began_at, self._began_with = time.monotonic(), len(polled.records)
        return polled

    def _follow_lag(self, waiting: int) -> None:
        if self._thinning.follow(waiting):
            thins = self._writer.counting.thins_pairs = self._thinning.is_on
            self._thins.set(thins)
            self._log.info("pairs_thinned" if thins else "all_pairs_counted", waiting=waiting)

    async def close(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.close()

    async def _write_through(self, applied: Applied) -> None:
        """Before the offsets are committed: a crash in between delivers the batch again, with its users."""
        if not applied.histories:
            return
        settled = Settled(counted=applied.event_keys)
        if not await cache_epoch.write_through(
            self._database, self._cache, applied.histories, applied.generation, settled
        ):
            metrics.CONSUMER_ERRORS.labels("redis").inc()

    def _assignment(self) -> str:
        """The detail in `/readyz` of a working consumer."""
        if self._subscription is None or not self._subscription.partitions:
            return "no partition is assigned yet"
        reads = f"reads {self._subscription.partitions} partitions"
        if self._thinning.is_on:
            reads += ", is behind and thins pairs"
        return "; ".join([reads, *self._subscription.troubles])

    def _read(self, polled: Polled) -> list[Incoming]:
        prefix = self._options.topics.prefix
        incoming = [read_record(record, topic=record.topic.removeprefix(prefix)) for record in polled.records]
        if polled.unreadable is not None:
            metrics.CONSUMER_ERRORS.labels("unreadable_batch").inc()
            topic = polled.unreadable.partition.topic.removeprefix(prefix)
            incoming.append(read_unreadable(polled.unreadable, topic=topic))
        return incoming

    async def _apply(
        self,
        subscription: Subscription,
        polled: Polled,
        incoming: Sequence[Incoming],
        stop: asyncio.Event,
        progress: Progress,
    ) -> Applied | None:
        """Applies the batch in parts that fit, waiting for Postgres if need be.

        None when told to stop or when the batch is no longer ours.
        """
        outage = Outage()
        applied = Applied()
        try:
            while True:
                part = incoming[applied.done : applied.done + self._size.limit]
                error = await self._apply_part(part, applied)
                # What was committed is in the cache before the rest is waited for.
                await self._write_through(applied)
                if self._learner is not None:
                    self._learner.offer(applied.samples)
                applied.histories, applied.event_keys, applied.samples = {}, {}, []
                if error is not None:
                    self._waits(outage, error)
                    wait_sec = self._wait_sec(error, len(part), outage.failures)
                    if not await self._hold(subscription, polled, wait_sec, stop, progress, outage.detail):
                        return None
                    continue
                self._resumes(outage)
                if applied.done == len(incoming):
                    return applied
                progress.beat()
                await subscription.keep_alive()
                if stop.is_set() or not subscription.holds(polled):
                    return None
        finally:
            subscription.resume()

    async def _apply_part(self, part: Sequence[Incoming], applied: Applied) -> DependencyDown | Braked | None:
        """Adds what was committed to `applied`; returns why the rest has to wait."""
        started = time.monotonic()
        try:
            await self._writer.apply(part, onto=applied)
        except (DependencyDown, Braked) as error:
            if isinstance(error, TooLarge):
                self._size.too_large(len(part))
            return error
        metrics.CONSUMER_BATCH.observe(len(part))
        self._size.fitted(len(part), time.monotonic() - started)
        return None

    def _wait_sec(self, error: Exception, count: int, failures: int) -> float:
        if isinstance(error, Braked):
            return self._options.brake_retry_sec
        return 0.0 if isinstance(error, TooLarge) and count > 1 else delay(failures)

    async def _hold(
        self,
        subscription: Subscription,
        polled: Polled,
        seconds: float,
        stop: asyncio.Event,
        progress: Progress,
        detail: str | None,
    ) -> bool:
        """Keeps the membership so long; False when told to stop or when the batch is no longer ours."""
        until = time.monotonic() + seconds
        while True:
            progress.failed(detail or "")
            progress.beat(detail)
            await subscription.keep_alive()
            self._follow_lag(subscription.waiting)
            left = until - time.monotonic()
            if await wait_for_stop(stop, min(max(left, 0.0), _TURN_SEC)) or not subscription.holds(polled):
                return False
            if left <= _TURN_SEC:
                return True

    def _count(self, incoming: Sequence[Incoming], applied: Applied) -> None:
        metrics.CONSUMER_PROCESSED.labels("applied").inc(applied.counted)
        metrics.CONSUMER_PROCESSED.labels("duplicate").inc(applied.duplicates)
        metrics.DLQ_EVENTS.labels("recovered").inc(sum(was_replayed(item) for item in incoming))
        now_ms = clock.now_ms()
        for message in (item.message for item in incoming if item.message is not None):
            _EVENT_LAG(max(0.0, now_ms - message.ts_ms))
            if isinstance(message, WatchMessage):
                _WATCH_TO_FEATURE(max(0.0, now_ms - message.received_ms))
        traces.log_batch(incoming, applied)
        self._late.add(incoming, now_ms=now_ms)

    def _waits(self, outage: Outage, error: Exception) -> None:
        metrics.CONSUMER_ERRORS.labels(kind_of(error)).inc()
        if outage.failed(error):
            self._log.warning("consumer_waits", error=describe(error))

    def _resumes(self, outage: Outage) -> None:
        if failures := outage.ended():
            self._log.info("consumer_resumes", after_failures=failures)
