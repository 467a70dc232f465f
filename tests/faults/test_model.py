"""Outbox, relays and consumers as a state machine: hypothesis orders their steps and crashes between any two.

The statements, the fold and the cache are the real ones, on real Postgres and Redis. Kafka is a list for each
partition, which keeps what was acknowledged and may keep what was not. At every moment each accepted event is counted,
in the outbox, or in Kafka beyond the group's offset; and what is counted is counted once.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar

import asyncpg
import psycopg
import pytest
import redis
from aiokafka import ConsumerRecord
from hypothesis import HealthCheck, Phase, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec import Struct, field

from app.adapters import ingest, outbox
from app.adapters.history_cache import RedisHistoryCache, Versioned
from app.adapters.outbox import OutboxRow
from app.adapters.postgres import Database
from app.core import events
from app.errors import DependencyDown
from tests.faults.checker import compare_with_a_fold, stale
from tests.faults.flawed import FLAWS
from tests.support.pipeline import database
from workers.batch import Applied, FeatureWriter
from workers.incoming import Incoming, read_record
from workers.write_through import WriteThrough

T = TypeVar("T")

_PARTITIONS: Final = 2
_TABLES: Final = (
    "events, event_outbox, feature_event_consumed, feature_consumer_dlq, user_history, item_stats, item_pairs, "
    "feature_changes, stale_history, sessions"
)
_START_MS: Final = 1_767_225_600_000


Stage = Literal["polled", "applied", "cached"]


class Cache:
    """Redis, which may be down."""

    def __init__(self, redis: RedisHistoryCache) -> None:
        self.down = False
        self._redis = redis

    async def get_many(self, user_ids: Sequence[str]) -> dict[str, Versioned]:
        return await self._redis.get_many(user_ids)

    async def put_many(self, histories: Mapping[str, Versioned]) -> None:
        if self.down:
            raise DependencyDown("redis", "down")
        await self._redis.put_many(histories)

    async def close(self) -> None:
        await self._redis.close()


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
    write_through: WriteThrough
    batch: Batch | None = None
    next_offsets: list[int] = field(default_factory=lambda: [0] * _PARTITIONS)


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

    def flush(self) -> None:
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushdb()


class Pipeline(RuleBasedStateMachine):
    def __init__(self, servers: Servers) -> None:
        super().__init__()
        self.servers = servers
        self.accepted: list[events.Record] = []
        self.log: list[list[OutboxRow]] = [[] for _ in range(_PARTITIONS)]
        self.committed = [0] * _PARTITIONS
        self.relays: list[Relay | None] = [None, None]
        self.owner = 0
        self.consumers: list[Consumer] = []

    @initialize()
    def begin(self) -> None:
        self.servers.asking.execute(f"TRUNCATE {_TABLES}".encode())
        self.servers.cache.down = False
        self.servers.flush()
        self.consumers = [self._consumer(), self._consumer()]

    @rule(users=strategies.lists(strategies.integers(0, 2), min_size=1, max_size=4), data=strategies.data())
    def accept(self, users: list[int], data: strategies.DataObject) -> None:
        """In any order of event time."""
        for user in users:
            event = events.View(
                user_id=f"user-{user}",
                session_id="s",
                item_id=f"item-{data.draw(strategies.integers(0, 3))}",
                event_id=f"event-{len(self.accepted):04d}",
                ts_ms=_START_MS + data.draw(strategies.integers(0, 5)) * 60_000,
            )
            record = events.accept(event, now_ms=_START_MS + 600_000, entropy=bytes(10))
            assert self._insert(record) == ["accepted"]
            self.accepted.append(record)

    @precondition(lambda self: self.accepted)
    @rule(data=strategies.data())
    def accept_again(self, data: strategies.DataObject) -> None:
        """The client did not get the answer."""
        assert self._insert(data.draw(strategies.sampled_from(self.accepted))) == ["duplicate"]

    @precondition(lambda self: None in self.relays and self.accepted)
    @rule(limit=strategies.integers(1, 5))
    def claim(self, limit: int) -> None:
        self.relays[self.relays.index(None)] = self.servers.run(self._claim(limit))

    @precondition(lambda self: any(relay and relay.acknowledged is None for relay in self.relays))
    @rule(data=strategies.data())
    def publish(self, data: strategies.DataObject) -> None:
        """Kafka may have rows whose acknowledgement is lost."""
        relay = data.draw(strategies.sampled_from([r for r in self.relays if r and r.acknowledged is None]))
        written = data.draw(strategies.integers(0, len(relay.rows)))
        acknowledged = data.draw(strategies.integers(0, written))
        for row in relay.rows[:written]:
            self.log[partition_of(row.message_key)].append(row)
        relay.acknowledged = [row.id for row in relay.rows[:acknowledged]]

    @precondition(lambda self: any(relay and relay.acknowledged is not None for relay in self.relays))
    @rule(data=strategies.data())
    def settle(self, data: strategies.DataObject) -> None:
        which = data.draw(
            strategies.sampled_from([n for n, r in enumerate(self.relays) if r and r.acknowledged is not None])
        )
        relay, self.relays[which] = self.relays[which], None
        assert relay is not None
        self.servers.run(self._settle(relay))

    @precondition(lambda self: any(self.relays))
    @rule(data=strategies.data())
    def kill_relay(self, data: strategies.DataObject) -> None:
        which = data.draw(strategies.sampled_from([n for n, relay in enumerate(self.relays) if relay]))
        relay, self.relays[which] = self.relays[which], None
        assert relay is not None
        self.servers.run(_abort(relay.connection))

    @precondition(lambda self: self.consumers[self.owner].batch is None and self._unread())
    @rule(data=strategies.data(), most=strategies.integers(1, 6))
    def poll(self, data: strategies.DataObject, most: int) -> None:
        self._poll(data.draw(strategies.sampled_from(self._unread())), most)

    @precondition(lambda self: self._holding("polled"))
    @rule(data=strategies.data())
    def apply(self, data: strategies.DataObject) -> None:
        """Also by a member whose partitions are another's by now."""
        self._apply(data.draw(strategies.sampled_from(self._holding("polled"))))

    @precondition(lambda self: self._holding("applied"))
    @rule(data=strategies.data())
    def write_cache(self, data: strategies.DataObject) -> None:
        self._write_cache(data.draw(strategies.sampled_from(self._holding("applied"))))

    @precondition(lambda self: self._holding("cached"))
    @rule(data=strategies.data())
    def commit_offset(self, data: strategies.DataObject) -> None:
        """Kafka refuses it from a member whose partitions are another's."""
        self._commit_offset(data.draw(strategies.sampled_from(self._holding("cached"))))

    @rule(which=strategies.integers(0, 1))
    def kill_consumer(self, which: int) -> None:
        self.consumers[which] = self._consumer()

    @rule()
    def rebalance(self) -> None:
        """The other member gets the partitions, and this one goes on with what it has in hand."""
        self.owner = 1 - self.owner
        self.consumers[self.owner].next_offsets = list(self.committed)
        self.consumers[self.owner].batch = None

    @precondition(lambda self: any(self.committed))
    @rule()
    def lose_offsets(self) -> None:
        """The group reads from the beginning."""
        self.committed = [0] * _PARTITIONS
        self.rebalance()

    @rule(down=strategies.booleans())
    def break_redis(self, down: bool) -> None:
        self.servers.cache.down = down

    @rule()
    def flush_redis(self) -> None:
        self.servers.flush()

    @invariant()
    def nothing_is_lost(self) -> None:
        found = self.servers.asking.execute(
            "SELECT event_id FROM feature_event_consumed UNION SELECT event_id FROM event_outbox"
        )
        there = {row[0] for row in found.fetchall()}
        for partition, offset in enumerate(self.committed):
            there.update(row.event_id for row in self.log[partition][offset:])
        lost = {record.event_id for record in self.accepted} - there
        assert not lost, lost

    @invariant()
    def nothing_is_counted_twice(self) -> None:
        (views, consumed) = self.servers.asking.execute(
            "SELECT (SELECT coalesce(sum(views), 0) FROM item_stats), (SELECT count(*) FROM feature_event_consumed)"
        ).fetchone() or (0, 0)
        assert views == consumed

    def teardown(self) -> None:
        """Without further faults all of it is counted, and the cache agrees."""
        for relay in self.relays:
            if relay is not None:
                self.servers.run(_abort(relay.connection))
        self.servers.cache.down = False
        while relay := self.servers.run(self._claim(100)):
            for row in relay.rows:
                self.log[partition_of(row.message_key)].append(row)
            relay.acknowledged = [row.id for row in relay.rows]
            self.servers.run(self._settle(relay))
        consumer = self.consumers[self.owner] = self._consumer()
        while unread := self._unread():
            self._poll(unread[0], 5)
            self._apply(consumer)
            self._write_cache(consumer)
            self._commit_offset(consumer)
        # A new one repairs at once.
        self.servers.run(self._consumer().write_through.repair())
        self.nothing_is_lost()
        compare_with_a_fold(self.servers.asking)
        assert stale(self.servers.asking, self.servers.redis_url) == []

    def _unread(self) -> list[int]:
        """Partitions that have messages for their owner."""
        read = self.consumers[self.owner].next_offsets
        return [partition for partition, rows in enumerate(self.log) if len(rows) > read[partition]]

    def _holding(self, stage: Stage) -> list[Consumer]:
        return [consumer for consumer in self.consumers if consumer.batch is not None and consumer.batch.stage == stage]

    def _poll(self, partition: int, most: int) -> None:
        consumer = self.consumers[self.owner]
        first = consumer.next_offsets[partition]
        rows = self.log[partition][first : first + most]
        incoming = [
            read_record(_record(row, partition, first + number), topic=row.topic) for number, row in enumerate(rows)
        ]
        consumer.batch = Batch(partition, first, incoming)
        consumer.next_offsets[partition] = first + len(rows)

    def _apply(self, consumer: Consumer) -> None:
        batch = consumer.batch
        assert batch is not None
        batch.applied = self.servers.run(consumer.writer.apply(batch.incoming))
        batch.stage = "applied"

    def _write_cache(self, consumer: Consumer) -> None:
        batch = consumer.batch
        assert batch is not None
        assert batch.applied is not None
        self.servers.run(consumer.write_through.put(batch.applied.histories))
        batch.stage = "cached"

    def _commit_offset(self, consumer: Consumer) -> None:
        batch, consumer.batch = consumer.batch, None
        assert batch is not None
        if consumer is self.consumers[self.owner]:
            self.committed[batch.partition] = batch.first + len(batch.incoming)

    def _consumer(self) -> Consumer:
        opened, cache = self.servers.opened, self.servers.cache
        return Consumer(
            FeatureWriter(opened, max_retries=1), WriteThrough(opened, cache), next_offsets=list(self.committed)
        )

    def _insert(self, record: events.Record) -> list[str]:
        async def insert() -> list[str]:
            async with self.servers.opened.connection() as connection:
                return list(await ingest.insert_events(connection, [record]))

        return self.servers.run(insert())

    async def _claim(self, limit: int) -> Relay | None:
        connection = await asyncpg.connect(self.servers.url)
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
    """As a relay that dies: the server ends the transaction."""
    await connection.execute("ROLLBACK")
    await connection.close()


def partition_of(key: str) -> int:
    """The partition of a key."""
    return sum(key.encode()) % _PARTITIONS


def _record(row: OutboxRow, partition: int, offset: int) -> Any:
    headers = [] if row.erasures is None else [("erasures", str(row.erasures).encode())]
    value = row.payload.encode()
    return ConsumerRecord(
        topic=row.topic,
        partition=partition,
        offset=offset,
        timestamp=_START_MS,
        timestamp_type=0,
        key=row.message_key.encode(),
        value=value,
        checksum=None,
        serialized_key_size=len(row.message_key),
        serialized_value_size=len(value),
        headers=headers,
    )


def test_steps_and_crashes_in_any_order(database_url: str, redis_url: str) -> None:
    drive(database_url, redis_url)


@pytest.mark.slow_fault
@pytest.mark.parametrize("flaw", ["dedupe off", "delete before publish"])
def test_model_finds_a_flaw(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, flaw: str) -> None:
    monkeypatch.setattr(*FLAWS[flaw])
    with pytest.raises(AssertionError):
        drive(database_url, redis_url, phases=[Phase.generate])


def drive(database_url: str, redis_url: str, **changes: Any) -> None:
    with asyncio.Runner() as runner, psycopg.connect(database_url, autocommit=True) as asking:
        opening = database(database_url)
        opened = runner.run(opening.__aenter__())
        cache = Cache(RedisHistoryCache(redis_url, ttl_sec=600.0, timeout_sec=5.0))
        servers = Servers(runner, database_url, redis_url, opened, asking, cache)
        chosen = settings(
            max_examples=20,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        )
        try:
            run_state_machine_as_test(lambda: Pipeline(servers), settings=settings(chosen, **changes))
        finally:
            runner.run(cache.close())
            runner.run(opening.__aexit__(None, None, None))
