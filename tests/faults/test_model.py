"""Outbox, relays and consumers as a state machine: hypothesis orders their steps and crashes between any two.

The statements, the fold and the cache are the real ones, on real Postgres and Redis. Kafka is a list for each
partition, which keeps what was acknowledged and may keep what was not. At every moment each accepted event is counted,
in the outbox, or in Kafka beyond the group's offset; and what is counted is counted once.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.adapters import cache_epoch
from app.adapters.outbox import OutboxRow
from app.core import events
from tests.faults.cached import stale
from tests.faults.checker import compare_with_a_fold
from tests.faults.flawed import FLAWS
from tests.faults.model import (
    PARTITIONS,
    START_MS,
    Batch,
    Consumer,
    Relay,
    Servers,
    Stage,
    partition_of,
    record_of,
    serving,
)
from workers.batch import FeatureWriter
from workers.incoming import read_record


class Pipeline(RuleBasedStateMachine):
    def __init__(self, servers: Servers) -> None:
        super().__init__()
        self.servers = servers
        self.accepted: list[events.Record] = []
        self.log: list[list[OutboxRow]] = [[] for _ in range(PARTITIONS)]
        self.committed = [0] * PARTITIONS
        self.relays: list[Relay | None] = [None, None]
        self.owner = 0
        self.consumers: list[Consumer] = []

    @initialize()
    def begin(self) -> None:
        self.servers.empty()
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
                ts_ms=START_MS + data.draw(strategies.integers(0, 5)) * 60_000,
            )
            record = events.accept(event, now_ms=START_MS + 600_000, entropy=bytes(10))
            assert self.servers.insert(record) == ["accepted"]
            self.accepted.append(record)

    @precondition(lambda self: self.accepted)
    @rule(data=strategies.data())
    def accept_again(self, data: strategies.DataObject) -> None:
        """The client did not get the answer."""
        assert self.servers.insert(data.draw(strategies.sampled_from(self.accepted))) == ["duplicate"]

    @precondition(lambda self: None in self.relays and self.accepted)
    @rule(limit=strategies.integers(1, 5))
    def claim(self, limit: int) -> None:
        self.relays[self.relays.index(None)] = self.servers.claim(limit)

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
        self.servers.settle(relay)

    @precondition(lambda self: any(self.relays))
    @rule(data=strategies.data())
    def kill_relay(self, data: strategies.DataObject) -> None:
        which = data.draw(strategies.sampled_from([n for n, relay in enumerate(self.relays) if relay]))
        relay, self.relays[which] = self.relays[which], None
        assert relay is not None
        self.servers.abort(relay)

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
        self.committed = [0] * PARTITIONS
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
                self.servers.abort(relay)
        self.servers.cache.down = False
        while relay := self.servers.claim(100):
            for row in relay.rows:
                self.log[partition_of(row.message_key)].append(row)
            relay.acknowledged = [row.id for row in relay.rows]
            self.servers.settle(relay)
        consumer = self.consumers[self.owner] = self._consumer()
        while unread := self._unread():
            self._poll(unread[0], 5)
            self._apply(consumer)
            self._write_cache(consumer)
            self._commit_offset(consumer)
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
            read_record(record_of(row, partition, first + number), topic=row.topic) for number, row in enumerate(rows)
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
        histories = batch.applied.histories
        self.servers.run(cache_epoch.write_through(self.servers.opened, self.servers.cache, histories))
        batch.stage = "cached"

    def _commit_offset(self, consumer: Consumer) -> None:
        batch, consumer.batch = consumer.batch, None
        assert batch is not None
        if consumer is self.consumers[self.owner]:
            self.committed[batch.partition] = batch.first + len(batch.incoming)

    def _consumer(self) -> Consumer:
        return Consumer(FeatureWriter(self.servers.opened, max_retries=1), next_offsets=list(self.committed))


def test_steps_and_crashes_in_any_order(database_url: str, redis_url: str) -> None:
    drive(database_url, redis_url)


@pytest.mark.slow
@pytest.mark.parametrize("flaw", ["dedupe off", "delete before publish"])
def test_model_finds_a_flaw(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, flaw: str) -> None:
    monkeypatch.setattr(*FLAWS[flaw])
    with pytest.raises(AssertionError):
        drive(database_url, redis_url, phases=[Phase.generate])


def drive(database_url: str, redis_url: str, **changes: Any) -> None:
    chosen = settings(
        max_examples=20,
        stateful_step_count=40,
        derandomize=True,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    with serving(database_url, redis_url) as servers:
        run_state_machine_as_test(lambda: Pipeline(servers), settings=settings(chosen, **changes))
