"""Publishes outbox rows to Kafka: many at once through an idempotent producer, singly after a refused batch."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from app.adapters import kafka
from app.adapters.kafka_bounds import abandon, stop_producer
from app.adapters.outbox import OutboxRow
from app.core.events import TOPICS
from app.errors import DependencyDown, UserError, describe

_START_TIMEOUT_SEC: Final = 5.0
# Appending to the producer does not yield while it has room: after so many rows it yields to the event loop.
_ROWS_A_TURN: Final = 50

PublishResult = BaseException | None
"""None when Kafka has acknowledged the row."""


class Publisher:
    """A producer that is started when needed and replaced after an error. For one caller at a time."""

    def __init__(
        self, kafka_options: kafka.KafkaOptions, topic_options: kafka.TopicOptions, *, timeout_sec: float
    ) -> None:
        self._kafka_options = kafka_options
        self._topic_options = topic_options
        self._timeout_sec = timeout_sec
        self._producer: AIOKafkaProducer | None = None

    async def publish(self, rows: Sequence[OutboxRow]) -> list[PublishResult]:
        """Publishes all rows; returns for each None when Kafka acknowledged it, or its error.

        Raises `DependencyDown` when no broker answers in time; some of the rows may be in Kafka then.
        """
        try:
            async with asyncio.timeout(self._timeout_sec):
                results = await self._together(rows)
                refused = [n for n, result in enumerate(results) if kafka.may_be_the_batch(result)]
                if refused:
                    for n, result in zip(refused, await self._singly([rows[n] for n in refused]), strict=True):
                        results[n] = result
        except TimeoutError:
            # What is still in the producer may reach Kafka later: a second copy, which the consumer drops.
            await self.close()
            raise DependencyDown("kafka", f"no acknowledgement in {self._timeout_sec:g} s") from None
        except (KafkaError, OSError) as error:
            await self.close()
            raise DependencyDown("kafka", describe(error)) from error
        if any(result is not None for result in results):
            # A refused batch leaves a gap in the sequence numbers of its partition: the next would be refused too.
            await self.close()
        return results

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_producer(producer)

    async def _together(self, rows: Sequence[OutboxRow]) -> list[PublishResult]:
        producer = await self._started()
        refused = await self._refused_topics(producer, {row.topic for row in rows})
        sent: list[asyncio.Future[object] | BaseException] = []
        try:
            for number, row in enumerate(rows):
                if number % _ROWS_A_TURN == 0:
                    await asyncio.sleep(0)
                sent.append(refused[row.topic] if row.topic in refused else await self._send(producer, row))
            waiting = [future for future in sent if isinstance(future, asyncio.Future)]
            if waiting:
                await asyncio.wait(waiting)
        except BaseException:
            abandon(future for future in sent if isinstance(future, asyncio.Future))
            raise
        return [result.exception() if isinstance(result, asyncio.Future) else result for result in sent]

    async def _singly(self, rows: Sequence[OutboxRow]) -> list[PublishResult]:
        """Sends each row alone: a topic whose size limit is below our batch refuses all rows of a batch.

        Without sequence numbers, so that one refusal does not affect the next; the consumer drops second copies.
        """
        producer = await kafka.start_producer(self._kafka_options, timeout_sec=_START_TIMEOUT_SEC, idempotent=False)
        try:
            results: list[PublishResult] = []
            for row in rows:
                sent = await self._send(producer, row)
                if isinstance(sent, asyncio.Future):
                    abandon([sent])  # unless it ends before the deadline
                    await asyncio.wait([sent])
                    results.append(sent.exception())
                else:
                    results.append(sent)
            return results
        finally:
            await stop_producer(producer)

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

    async def _send(self, producer: AIOKafkaProducer, row: OutboxRow) -> "asyncio.Future[object] | BaseException":
        try:
            acknowledged: asyncio.Future[object] = await producer.send(
                self._topic_options.prefix + row.topic,
                value=row.payload.encode() if row.raw is None else row.raw,
                key=row.message_key.encode(),
                headers=kafka.headers_of(
                    {
                        "event_id": row.event_id,
                        "traceparent": row.traceparent,
                        "replays": str(row.replays) if row.replays else None,
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
            try:
                await kafka.ensure_topics(
                    self._kafka_options, TOPICS, self._topic_options, timeout_sec=_START_TIMEOUT_SEC
                )
            except UserError as error:
                raise DependencyDown("kafka", str(error)) from error
            self._producer = await kafka.start_producer(self._kafka_options, timeout_sec=_START_TIMEOUT_SEC)
        return self._producer
