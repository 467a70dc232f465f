"""Writes to Postgres and Kafka directly, without the service: to fill a backlog, and as benchmark baselines. A baseline
sends the service's rows or messages through a bare driver, the least that storing or publishing can cost here.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from app.adapters.ingest import insert_events
from app.adapters.kafka import KafkaOptions, TopicOptions, ensure_topics, start_producer
from app.adapters.kafka_bounds import stop_producer
from app.adapters.postgres_connect import Connector
from app.core.events import Record
from app.load.jobs import InsertRows, ProduceMessages
from app.load.loops import LoopCounts, Window
from app.load.requests import ACCEPTED, REFUSED, SentEvents

# In flight at once: enough that the producer is never idle while the oldest are awaited.
_PRODUCE_CHUNK: Final = 1000
_CHUNKS_AHEAD: Final = 2
_TIMEOUT_SEC: Final = 10.0
_FILL_CLIENTS: Final = 4
_FILL_BATCH: Final = 1000

# No key, no index, no outbox: the rows alone.
_CREATE: Final = """
    DROP TABLE IF EXISTS load_baseline;
    CREATE TABLE load_baseline (
        event_id text, event_type text, user_id text, session_id text, request_id text, ts_ms bigint,
        content_hash bytea, payload jsonb, received_at timestamptz DEFAULT now()
    )
"""
_INSERT: Final = """
    INSERT INTO load_baseline (event_id, event_type, user_id, session_id, request_id, ts_ms, content_hash, payload)
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bytea[], $8::jsonb[]
    )
"""


async def fill_outbox(
    database_url: str,
    records: Iterator[Record],
    history: SentEvents,
    counts: LoopCounts,
    report: Callable[[LoopCounts], None],
) -> float:
    """Stores the records as the API does, with outbox rows; returns the seconds it took. Raises asyncpg's errors."""
    begun_at = time.perf_counter()

    async def client(connection: Any) -> None:
        while batch := list(itertools.islice(records, _FILL_BATCH)):
            begun = time.perf_counter()
            outcomes = (await insert_events(connection, batch)).statuses
            first = history.number(batch[0].event_id)
            history.states[first : first + len(batch)] = bytes(
                ACCEPTED if outcome == "accepted" else REFUSED for outcome in outcomes
            )
            now = time.perf_counter()
            counts.add(now, now - begun, outcomes.count("accepted"), None, b"")
            report(counts)

    async with _clients(database_url, _FILL_CLIENTS) as connections:
        await asyncio.gather(*map(client, connections))
    return time.perf_counter() - begun_at


async def insert_rows(
    job: InsertRows, records: Sequence[Record], counts: LoopCounts, report: Callable[[LoopCounts], None]
) -> float:
    """Fills `counts`, a statement being a request; returns the window's length in seconds. Raises asyncpg's errors."""
    chunks = [_columns(records[at : at + job.size]) for at in range(0, len(records) - job.size + 1, job.size)]
    async with _clients(job.database_url, job.clients) as connections:
        await connections[0].execute(_CREATE)
        deadline = _open(counts, job.window)

        async def client(connection: Any, turn: int) -> None:
            while (begun := time.perf_counter()) < deadline and counts.good < job.window.max_good:
                await connection.execute(_INSERT, *chunks[turn % len(chunks)])
                now = time.perf_counter()
                counts.add(now, now - begun, job.size, None, b"")
                turn += 1
                report(counts)

        await asyncio.gather(*(client(connection, turn) for turn, connection in enumerate(connections)))
        seconds = time.perf_counter() - counts.opens_at
        await connections[0].execute("DROP TABLE load_baseline")
    return seconds


async def produce_messages(
    job: ProduceMessages, records: Sequence[Record], counts: LoopCounts, report: Callable[[LoopCounts], None]
) -> float:
    """Fills `counts`, a thousand messages being a request; returns the window's length in seconds.

    Raises aiokafka's errors and `DependencyDown`.
    """
    options = KafkaOptions(bootstrap_servers=job.bootstrap_servers, client_id="reco-load-baseline")
    await ensure_topics(options, [job.topic], TopicOptions(partitions=job.partitions), timeout_sec=_TIMEOUT_SEC)
    messages = [
        (record.payload.encode(), record.user_id.encode(), [("event_id", record.event_id.encode())])
        for record in records[: len(records) // _PRODUCE_CHUNK * _PRODUCE_CHUNK]
    ]
    chunks = [messages[at : at + _PRODUCE_CHUNK] for at in range(0, len(messages), _PRODUCE_CHUNK)]
    producer = await start_producer(options, timeout_sec=_TIMEOUT_SEC)
    under_way: deque[tuple[float, list[Any]]] = deque()

    async def settle_oldest() -> None:
        begun, futures = under_way.popleft()
        async with asyncio.timeout(_TIMEOUT_SEC):
            await asyncio.gather(*futures)
        now = time.perf_counter()
        counts.add(now, now - begun, len(futures), None, b"")
        report(counts)

    try:
        deadline = _open(counts, job.window)
        turn = 0
        while (begun := time.perf_counter()) < deadline and counts.good < job.window.max_good:
            chunk = chunks[turn % len(chunks)]
            turn += 1
            under_way.append(
                (begun, [await producer.send(job.topic, value, key, headers=headers) for value, key, headers in chunk])
            )
            if len(under_way) > _CHUNKS_AHEAD:
                await settle_oldest()
        while under_way:
            await settle_oldest()
        return time.perf_counter() - counts.opens_at
    finally:
        await stop_producer(producer)


@asynccontextmanager
async def _clients(database_url: str, count: int) -> AsyncIterator[list[Any]]:
    connections: list[Any] = []
    try:
        for _ in range(count):
            connection = await Connector(database_url).connect(timeout=_TIMEOUT_SEC, command_timeout=_TIMEOUT_SEC)
            connections.append(connection)
        yield connections
    finally:
        await asyncio.gather(*(connection.close() for connection in connections))


def _open(counts: LoopCounts, window: Window) -> float:
    """Opens the window after the warm-up; returns when it closes."""
    counts.opens_at = time.perf_counter() + window.warmup_sec
    return counts.opens_at + window.seconds


def _columns(records: Sequence[Record]) -> list[list[Any]]:
    return [
        [r.event_id for r in records],
        [r.event_type for r in records],
        [r.user_id for r in records],
        [r.session_id for r in records],
        [r.request_id for r in records],
        [r.ts_ms for r in records],
        [r.content_hash for r in records],
        [r.payload for r in records],
    ]
