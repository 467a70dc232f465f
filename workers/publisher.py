"""Publishes outbox rows to Kafka: many at once through an idempotent producer, singly after a refused batch."""

import asyncio
import contextlib
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from app.adapters import kafka
from app.adapters.kafka_bounds import abandon, leaderless, partition_of, stop_producer
from app.adapters.outbox import OutboxRow
from app.core.events import TOPICS
from app.core.failing_partitions import FailingPartitions, Partition
from app.errors import DependencyDown, UserError, describe
from app.tracing import TraceHeaders
from workers import spans
from workers.publish_results import POSTPONED, PartitionDown, PublishResult

_START_TIMEOUT_SEC: Final = 5.0
_METADATA_SEC: Final = 1.0
# Appending to the producer does not yield while it has room: after so many rows it yields to the event loop.
_ROWS_A_TURN: Final = 50
# Of one partition a producer sends one request at a time, so a single row costs it a round trip.
_SINGLE_PRODUCERS: Final = 8


class Publisher:
    """Producers that are started when needed and replaced after an error. For one caller at a time.

    Every call ends within `timeout_sec`, plus the time to start or stop a producer.
    """

    def __init__(
        self,
        kafka_options: kafka.KafkaOptions,
        topic_options: kafka.TopicOptions,
        failing: FailingPartitions,
        *,
        timeout_sec: float,
    ) -> None:
        """`failing`: of all publishers of a relay."""
        self._kafka_options = kafka_options
        self._topic_options = topic_options
        self._timeout_sec = timeout_sec
        self._producer: AIOKafkaProducer | None = None
        self._singles: list[AIOKafkaProducer] = []
        self._failing = failing
        self.passes_over_some = False
        """Whether some partitions took nothing, or have no leader."""
        self._traces: Mapping[str | None, TraceHeaders] = {}

    async def publish(self, rows: Sequence[OutboxRow]) -> list[PublishResult]:
        """Publishes the rows in batches; returns a result for each.

        Raises `DependencyDown` when nothing could be sent. What is in the producer when the time is up may reach Kafka
        later, as a second copy, which the consumer drops.
        """
        try:
            with spans.publishing(rows) as self._traces:
                results = await self._together(rows)
        except DependencyDown:
            await self._close_producer()
            raise
        held_back = (isinstance(result, PartitionDown) and not result.sent for result in results)
        if any(result is not None and not held for result, held in zip(results, held_back, strict=True)):
            # A refused batch leaves a gap in the sequence numbers of its partition: the next would be refused too. What
            # was not acknowledged may still be sent.
            await self._close_producer()
        return results

    async def publish_singly(self, rows: Sequence[OutboxRow]) -> list[PublishResult]:
        """Publishes each row in a request of its own, several at once; returns a result for each.

        For a topic whose size limit is below our batch, which refuses all rows of a batch. Without sequence numbers, so
        that one refusal does not affect the next. When the time is up, rows without an answer have `POSTPONED` if
        others were answered, and `DependencyDown` if none was.
        """
        results: list[PublishResult] = [POSTPONED] * len(rows)
        waiting = iter(enumerate(rows))
        with contextlib.suppress(TimeoutError), spans.publishing(rows) as self._traces:
            async with asyncio.timeout(self._timeout_sec), asyncio.TaskGroup() as group:
                for _ in range(min(_SINGLE_PRODUCERS, len(rows))):
                    group.create_task(self._send_in_turn(waiting, results))
        if all(result is POSTPONED for result in results):
            return [self._late()] * len(rows)
        return results

    async def _send_in_turn(self, waiting: Iterator[tuple[int, OutboxRow]], results: list[PublishResult]) -> None:
        """Sends one row after the other with a producer of its own, which stays open for the next time."""
        number, producer = None, None
        try:
            producer = self._singles.pop() if self._singles else await self._start(idempotent=False)
            for number, row in waiting:
                sent = await self._send(producer, row)
                if isinstance(sent, asyncio.Future):
                    abandon([sent])  # unless it ends before the deadline
                    await asyncio.wait([sent])
                results[number] = self._result_of(sent)
        except (KafkaError, OSError, DependencyDown) as error:
            if number is not None:
                results[number] = DependencyDown("kafka", describe(error))
            if producer is not None:
                await stop_producer(producer)
                producer = None
        finally:
            if producer is not None:
                self._singles.append(producer)

    async def close(self) -> None:
        singles, self._singles = self._singles, []
        await asyncio.gather(self._close_producer(), *map(stop_producer, singles))

    async def _close_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_producer(producer)

    def _late(self) -> DependencyDown:
        return DependencyDown("kafka", f"no acknowledgement in {self._timeout_sec:g} s")

    async def _together(self, rows: Sequence[OutboxRow]) -> list[PublishResult]:
        """What was sent keeps its result, even if other rows fail."""
        producer = await self._started()
        sent: list[asyncio.Future[Any] | BaseException] = []
        problem = self._late()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_sec):
                try:
                    topics = {row.topic for row in rows}
                    unsent: dict[str, BaseException] = dict(await self._refused_topics(producer, topics))
                    passed_over = await self._passed_over(producer, topics - unsent.keys())
                    for number, row in enumerate(rows):
                        if number % _ROWS_A_TURN == 0:
                            await asyncio.sleep(0)
                        if row.topic in unsent:
                            sent.append(unsent[row.topic])
                            continue
                        if passed_over or self._failing:
                            partition = self._partition(producer, row)
                            if down := passed_over.get(partition):
                                sent.append(down)
                                continue
                            self._failing.begin_try(partition, time.monotonic() + self._timeout_sec)
                        sent.append(await self._send(producer, row))
                except (KafkaError, OSError) as error:
                    problem = DependencyDown("kafka", describe(error))
                finally:
                    futures = [future for future in sent if isinstance(future, asyncio.Future)]
                    abandon(futures)  # unless they end before the deadline
                if futures:
                    await asyncio.wait(futures)
        if not sent:
            raise problem
        results = [self._result_of(result) for result in sent] + [problem] * (len(rows) - len(sent))
        return await self._judged(producer, rows, sent, results)

    async def _passed_over(self, producer: AIOKafkaProducer, topics: Collection[str]) -> dict[Partition, PartitionDown]:
        """Partitions to send nothing to. Where some have no leader, the producer asks anew whether that is still so."""
        without = self._leaderless(producer, topics)
        if without:
            await self._answers(producer)
            without = self._leaderless(producer, topics)
        now = time.monotonic()
        found = {one: PartitionDown(one, "takes nothing", sent=False) for one in self._failing.passed_over(now)}
        return found | {one: PartitionDown(one, "has no leader", sent=False) for one in without}

    async def _answers(self, producer: AIOKafkaProducer) -> bool:
        """Whether some broker says how the partitions are, which the producer knows then."""
        update = producer.client.force_metadata_update()
        await asyncio.wait([update], timeout=_METADATA_SEC)
        known: bool = update.done() and not update.cancelled() and update.result()
        return known

    def _leaderless(self, producer: AIOKafkaProducer, topics: Collection[str]) -> set[Partition]:
        prefix = self._topic_options.prefix
        return {(topic, number) for topic in topics for number in leaderless(producer, prefix + topic)}

    def _partition(self, producer: AIOKafkaProducer, row: OutboxRow) -> Partition:
        return row.topic, partition_of(producer, self._topic_options.prefix + row.topic, row.message_key.encode())

    async def _judged(
        self,
        producer: AIOKafkaProducer,
        rows: Sequence[OutboxRow],
        sent: Sequence["asyncio.Future[Any] | BaseException"],
        results: list[PublishResult],
    ) -> list[PublishResult]:
        """The results, with `PartitionDown` for rows of partitions that took nothing while Kafka answered."""
        futures = [(number, one) for number, one in enumerate(sent) if isinstance(one, asyncio.Future)]
        failed = [number for number, _ in futures if isinstance(results[number], DependencyDown)]
        took = set()
        if failed or self._failing:
            took = {(rows[number].topic, one.result().partition) for number, one in futures if results[number] is None}
        if took or (failed and await self._answers(producer)):
            partitions = {}
            for turn, number in enumerate(failed):
                if turn % _ROWS_A_TURN == 0:
                    await asyncio.sleep(0)
                partition = self._partition(producer, rows[number])
                if partition[1] >= 0:  # its topic is there
                    partitions[number] = partition
            silent = self._failing.judge(took, set(partitions.values()), time.monotonic())
            for number, partition in partitions.items():
                if partition in silent:
                    results[number] = PartitionDown(partition, f"takes nothing: {results[number]}", sent=True)
        self.passes_over_some = bool(self._failing) or bool(self._leaderless(producer, TOPICS))
        return results

    def _result_of(self, sent: "asyncio.Future[Any] | BaseException") -> PublishResult:
        if not isinstance(sent, asyncio.Future):
            return sent
        if not sent.done() or sent.cancelled():
            return self._late()
        error = sent.exception()
        return error if error is None or kafka.is_row_error(error) else DependencyDown("kafka", describe(error))

    async def _refused_topics(self, producer: AIOKafkaProducer, topics: Iterable[str]) -> dict[str, BaseException]:
        """Topics that the broker does not have or that we may not write to: an error of their rows only.

        A missing topic of ours was deleted: that is an outage, and the next start creates it again.
        """
        refused: dict[str, BaseException] = {}
        foreign = {topic for topic in topics if topic not in TOPICS}
        if foreign:
            # For a missing topic the producer would wait until the deadline of the whole batch.
            known = (await producer.client.fetch_all_metadata()).topics()
            missing = {topic for topic in foreign if self._topic_options.prefix + topic not in known}
            refused.update((topic, UnknownTopicOrPartitionError(topic)) for topic in missing)
        for topic in set(topics) - set(refused):
            try:
                await producer.partitions_for(self._topic_options.prefix + topic)
            except KafkaError as error:
                if not kafka.is_row_error(error) or isinstance(error, UnknownTopicOrPartitionError):
                    raise
                refused[topic] = error
        return refused

    async def _send(self, producer: AIOKafkaProducer, row: OutboxRow) -> "asyncio.Future[Any] | BaseException":
        trace = self._traces.get(row.traceparent, row)
        try:
            acknowledged: asyncio.Future[Any] = await producer.send(
                self._topic_options.prefix + row.topic,
                value=row.payload.encode() if row.raw is None else row.raw,
                key=row.message_key.encode(),
                timestamp_ms=row.claimed_ms,
                headers=kafka.headers_of(
                    {
                        "event_id": row.event_id,
                        "traceparent": trace.traceparent,
                        "tracestate": trace.tracestate,
                        "replays": str(row.replays) if row.replays else None,
                        "letter_id": None if row.letter_id is None else str(row.letter_id),
                        "erasures": None if row.erasures is None else str(row.erasures),
                    }
                ),
            )
            return acknowledged
        except KafkaError as error:
            if not kafka.is_row_error(error):
                raise
            row_error: BaseException = error
            return row_error

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            with _waits_for_users():
                await kafka.ensure_topics(
                    self._kafka_options, TOPICS, self._topic_options, timeout_sec=_START_TIMEOUT_SEC
                )
            self._producer = await self._start(idempotent=True)
        return self._producer

    async def _start(self, *, idempotent: bool) -> AIOKafkaProducer:
        with _waits_for_users():
            return await kafka.start_producer(
                self._kafka_options, timeout_sec=_START_TIMEOUT_SEC, idempotent=idempotent
            )


@contextlib.contextmanager
def _waits_for_users() -> Iterator[None]:
    """What somebody has to put right, such as a certificate that cannot be read, is an outage until then."""
    try:
        yield
    except UserError as error:
        raise DependencyDown("kafka", str(error)) from error
