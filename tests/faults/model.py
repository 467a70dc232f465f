"""The parts of the state machine in test_model.py: the real servers, and what a relay or a consumer has in hand."""

import asyncio
from collections.abc import Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, TypeVar

import asyncpg
import psycopg
import redis
from aiokafka import ConsumerRecord
from msgspec import Struct, field

from app.adapters import ingest, outbox
from app.adapters.history_cache import NOTHING_SETTLED, CachedHistories, Settled, Versioned
from app.adapters.outbox import OutboxRow
from app.adapters.postgres import Database
from app.adapters.redis_histories import RedisHistoryCache
from app.core import events
from app.errors import DependencyDown
from tests.support.caching import caching
from tests.support.pipeline import database
from workers.applied import Applied
from workers.batch import FeatureWriter
from workers.incoming import Incoming

T = TypeVar("T")

PARTITIONS: Final = 2
_TABLES: Final = (
    "events, event_outbox, feature_event_consumed, feature_consumer_dlq, user_history, item_stats, item_pairs, "
    "feature_changes, sessions"
)
START_MS: Final = 1_767_225_600_000


Stage = Literal["polled", "applied", "cached"]


class Cache:
    """Redis, which may be down."""

    def __init__(self, redis: RedisHistoryCache) -> None:
        self.down = False
        self._redis = redis

    async def get_many(self, user_ids: Sequence[str]) -> CachedHistories:
        return await self._redis.get_many(user_ids)

    async def put_many(
        self, histories: Mapping[str, Versioned], epoch: bytes, settled: Settled = NOTHING_SETTLED
    ) -> bool:
        if self.down:
            raise DependencyDown("redis", "down")
        return await self._redis.put_many(histories, epoch, settled)

    async def add_own_writes(self, records: Mapping[str, bytes]) -> Collection[str]:
        return await self._redis.add_own_writes(records)


class Relay(Struct):
    """A transaction with claimed rows; those that Kafka has acknowledged."""

    connection: Any
    rows: list[OutboxRow]
    acknowledged: list[int] | None = None


class Batch(Struct):
    """What a consumer has in hand, from `first` of `partition` on, and how far it is with it."""

    partition: int
    first: int
    incoming: list[Incoming]
    stage: Stage = "polled"
    applied: Applied | None = None


class Consumer(Struct):
    writer: FeatureWriter
    batch: Batch | None = None
    next_offsets: list[int] = field(default_factory=lambda: [0] * PARTITIONS)


class Servers(Struct):
    """What all runs of the machine share."""

    runner: asyncio.Runner
    url: str
    redis_url: str
    opened: Database
    asking: psycopg.Connection[Any]
    cache: Cache

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def insert(self, record: events.Record) -> list[str]:
        async def insert() -> list[str]:
            async with self.opened.connection() as connection:
                return list((await ingest.insert_events(connection, [record])).statuses)

        return self.run(insert())

    def claim(self, limit: int) -> Relay | None:
        """In a transaction that stays open; None when no row can be claimed."""
        return self.run(self._claim(limit))

    def settle(self, relay: Relay) -> None:
        """Deletes what was acknowledged, and commits."""
        self.run(self._settle(relay))

    def abort(self, relay: Relay) -> None:
        """As a relay that dies: the server ends the transaction."""
        self.run(_abort(relay.connection))

    def flush(self) -> None:
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushdb()

    def empty(self) -> None:
        self.asking.execute(f"TRUNCATE {_TABLES}".encode())
        self.cache.down = False
        self.flush()

    async def _claim(self, limit: int) -> Relay | None:
        connection = await asyncpg.connect(self.url)
        await connection.execute("BEGIN")
        rows = await outbox.claim_batch(connection, limit, lease_sec=60.0)
        if not rows:
            await _abort(connection)
            return None
        return Relay(connection, rows)

    async def _settle(self, relay: Relay) -> None:
        await outbox.delete_published(relay.connection, relay.acknowledged or [])
        await relay.connection.execute("COMMIT")
        await relay.connection.close()


async def _abort(connection: Any) -> None:
    await connection.execute("ROLLBACK")
    await connection.close()


def partition_of(key: str) -> int:
    """The partition of a key."""
    return sum(key.encode()) % PARTITIONS


def record_of(row: OutboxRow, partition: int, offset: int) -> Any:
    headers = [] if row.erasures is None else [("erasures", str(row.erasures).encode())]
    value = row.payload.encode()
    return ConsumerRecord(
        topic=row.topic,
        partition=partition,
        offset=offset,
        timestamp=START_MS,
        timestamp_type=0,
        key=row.message_key.encode(),
        value=value,
        checksum=None,
        serialized_key_size=len(row.message_key),
        serialized_value_size=len(value),
        headers=headers,
    )


@contextmanager
def serving(database_url: str, redis_url: str) -> Iterator[Servers]:
    with asyncio.Runner() as runner, psycopg.connect(database_url, autocommit=True) as asking:
        opening = database(database_url)
        opened = runner.run(opening.__aenter__())
        caches = caching(opened, redis_url)
        cache = Cache(runner.run(caches.__aenter__()))
        try:
            yield Servers(runner, database_url, redis_url, opened, asking, cache)
        finally:
            runner.run(caches.__aexit__(None, None, None))
            runner.run(opening.__aexit__(None, None, None))
