"""What the tests of relay and consumer share: a database, rows in the outbox, and the two themselves."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
from msgspec import structs

from app.adapters.kafka import KafkaOptions, TopicOptions
from app.adapters.pool_options import PoolOptions
from app.adapters.postgres import Database
from app.core.events import TOPIC_INTERACTIONS
from app.options import retention_options
from app.settings import Settings
from app.supervisor import Progress
from workers.consumer import ConsumerOptions
from workers.relay import Relay, RelayOptions
from workers.retention import RetentionOptions

T = TypeVar("T")


@asynccontextmanager
async def database(url: str, **changes: Any) -> AsyncIterator[Database]:
    options: dict[str, Any] = {
        "min_size": 1,
        "max_size": 8,
        "connect_timeout_sec": 3.0,
        "statement_timeout_ms": 5000,
        "lock_timeout_ms": 1000,
        "application_name": "test",
    }
    opened = Database(url, PoolOptions(**{**options, **changes}))
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close(timeout_sec=1.0)


async def letters(pool: asyncpg.Pool) -> int:
    """How many dead letters there are."""
    found: int = await pool.fetchval("SELECT count(*) FROM feature_consumer_dlq")
    return found


def keeping(**changes: Any) -> RetentionOptions:
    """What retention keeps by default, with changes."""
    minimal = {"DATABASE_URL": "postgresql://reco@localhost/reco", "KAFKA_BOOTSTRAP_SERVERS": "localhost:9092"}
    return structs.replace(retention_options(Settings.from_env(minimal)), **changes)


def kafka_options(bootstrap_servers: str) -> KafkaOptions:
    return KafkaOptions(bootstrap_servers=bootstrap_servers, client_id="test")


def topics(prefix: str) -> TopicOptions:
    return TopicOptions(prefix=prefix, partitions=2)


def relay(opened: Database, bootstrap_servers: str, prefix: str, **changes: Any) -> Relay:
    options: dict[str, Any] = {
        "batch_size": 100,
        "poll_interval_sec": 0.1,
        "publish_timeout_sec": 10.0,
        "max_attempts": 3,
        "base_retry_sec": 0.01,
        "statement_timeout_sec": 5.0,
        "longest_insert_sec": 25.0,
        "max_retry_sec": 0.02,
        "topics": topics(prefix),
    }
    return Relay(opened, kafka_options(bootstrap_servers), RelayOptions(**{**options, **changes}))


def consuming(topic_prefix: str, *, at_once: int = 100) -> ConsumerOptions:
    """A consumer of the test's own topics, which counts so many records at once, and tries each once more."""
    return ConsumerOptions(
        group=f"{topic_prefix}group",
        poll_timeout_ms=50,
        max_poll_records=at_once,
        max_retries_per_message=1,
        statement_timeout_sec=5.0,
        topics=topics(topic_prefix),
    )


def message(event_id: str, **changes: Any) -> str:
    now_ms = time.time_ns() // 1_000_000
    fields = {
        "v": 1,
        "event_type": "view",
        "event_id": event_id,
        "user_id": "ann",
        "session_id": "s1",
        "item_id": "alien",
        "ts_ms": now_ms,
        "received_ms": now_ms,
    }
    return json.dumps({**fields, **changes})


async def queue(
    pool: "asyncpg.Pool[asyncpg.Record]",
    payloads: Sequence[str],
    *,
    topic: str = TOPIC_INTERACTIONS,
    traceparent: str | None = None,
) -> None:
    """Puts messages into the outbox, each under its event id."""
    await pool.executemany(
        "INSERT INTO event_outbox (event_id, topic, message_key, payload, traceparent) VALUES ($1, $2, $3, $4, $5)",
        [(json.loads(text)["event_id"], topic, json.loads(text)["user_id"], text, traceparent) for text in payloads],
    )


async def rows(pool: "asyncpg.Pool[asyncpg.Record]") -> dict[str, tuple[str, int]]:
    """The outbox: event id → status and attempts."""
    found = await pool.fetch("SELECT event_id, status, attempts FROM event_outbox")
    return {row[0]: (row[1], row[2]) for row in found}


def counted(metric: Any, **labels: str) -> float:
    """The value of a counter or gauge, or a histogram's number of observations."""
    return sum(
        sample.value
        for family in metric.collect()
        for sample in family.samples
        if sample.name.endswith(("_total", "_count")) or sample.name == family.name
        if all(sample.labels.get(name) == value for name, value in labels.items())
    )


async def until(condition: Any, within_sec: float = 20.0) -> None:
    """Waits until the coroutine function returns something true."""
    async with asyncio.timeout(within_sec):
        while not await condition():
            await asyncio.sleep(0.02)


async def until_equal(read: Callable[[], Awaitable[T]], expected: T, within_sec: float = 20.0) -> None:
    """Waits until the coroutine function returns this; otherwise shows what it returned last."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + within_sec
    while (found := await read()) != expected:
        assert loop.time() < ends_at, f"still {found} after {within_sec:g} s, not {expected}"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def running(worker: Any) -> AsyncIterator[Progress]:
    """A worker's `run` as its supervisor runs it."""
    stop, progress = asyncio.Event(), Progress()
    task = asyncio.create_task(worker.run(stop, progress))
    try:
        yield progress
    finally:
        stop.set()
        async with asyncio.timeout(15.0):
            await task
