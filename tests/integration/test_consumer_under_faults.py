"""Which errors may cost the consumer a message: real errors of a real Postgres."""

import time

import asyncpg
import pytest
from confluent_kafka import Producer

from app import metrics
from app.adapters import erasures, sequences
from app.adapters.ingest import insert_events
from app.adapters.kafka import ensure_topics
from app.adapters.postgres import Database
from app.core.brake import Brake
from app.core.events import TOPIC_INTERACTIONS, TOPICS
from app.errors import DependencyDown, TooLarge
from tests.support.caching import caching
from tests.support.consuming import incoming
from tests.support.erasing import record
from tests.support.pipeline import consuming, counted, kafka_options, letters, message, running, topics, until
from workers.applied import Applied
from workers.batch import FeatureWriter
from workers.consumer import FeatureConsumer
from workers.traces import LateFeatures

Pool = asyncpg.Pool


async def raise_for_poison(pool: Pool, sqlstate: str) -> None:
    await pool.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{sqlstate}', DETAIL = 'of ann'; END $$;"
        "CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON item_stats FOR EACH ROW WHEN (NEW.item_id = 'poison') "
        "EXECUTE FUNCTION fail()"
    )


def mixed(count: int = 8) -> list[str]:
    """One of them is about the item `poison`."""
    return [message(f"event-{number:04d}", item_id="poison" if number == 3 else "alien") for number in range(count)]


OF_NO_VALUE = (
    *("2200H", "23502", "23505", "26000", "40001", "40P01", "53100"),
    *("54000", "55P03", "57014", "XX000", "XX002"),
)


@pytest.mark.parametrize("sqlstate", OF_NO_VALUE)
async def test_error_that_no_value_causes_costs_no_message(opened: Database, pool: Pool, sqlstate: str) -> None:
    await raise_for_poison(pool, sqlstate)
    writer, applied = FeatureWriter(opened, max_retries=1), Applied()
    with pytest.raises(DependencyDown) as refused:
        await writer.apply(incoming(*mixed()), onto=applied)
    assert isinstance(refused.value, TooLarge) is (sqlstate == "57014")
    assert (applied.done, await letters(pool)) == (0, 0)
    await pool.execute("DROP TRIGGER fail ON item_stats")
    assert (await writer.apply(incoming(*mixed()))).counted == 8


@pytest.mark.parametrize("sqlstate", ["22003", "22P05", "23503", "23514", "P0001", "XX001"])
async def test_error_of_the_values_or_of_a_rule_costs_their_message_alone(
    opened: Database, pool: Pool, sqlstate: str
) -> None:
    await raise_for_poison(pool, sqlstate)
    writer = FeatureWriter(opened, max_retries=1, brake=Brake())
    stored = counted(metrics.DLQ_EVENTS, outcome="stored")
    applied = await writer.apply(incoming(*mixed()))
    assert (applied.counted, applied.dead, applied.done) == (7, 1, 8)
    assert counted(metrics.DLQ_EVENTS, outcome="stored") == stored + 1, "before its offset is committed"
    again = await writer.apply(incoming(*mixed()))
    assert (again.counted, again.duplicates, again.dead, again.done) == (0, 8, 0, 8)
    assert await letters(pool) == 1
    assert counted(metrics.DLQ_EVENTS, outcome="stored") == stored + 1


@pytest.mark.parametrize(("sqlstate", "name"), [("XX000", "InternalServerError"), ("23505", "UniqueViolationError")])
async def test_error_is_told_without_the_rows_that_it_quotes(
    opened: Database, pool: Pool, sqlstate: str, name: str
) -> None:
    await raise_for_poison(pool, sqlstate)
    with pytest.raises(DependencyDown) as refused:
        await FeatureWriter(opened, max_retries=1).apply(incoming(*mixed()))
    assert refused.value.reason == f"{name} ({sqlstate}): refused"


async def test_sequences_behind_their_tables_are_advanced(opened: Database, pool: Pool) -> None:
    writer = FeatureWriter(opened, max_retries=1)
    values = [message(f"event-{number:04d}", item_id=f"item-{number}") for number in range(9)]
    await writer.apply(incoming(*values, b"{"))
    await pool.execute("INSERT INTO user_erasures (user_id) VALUES ('bob')")
    await pool.execute("INSERT INTO feature_changes (item_ids) VALUES ('{a}')")
    await pool.execute("INSERT INTO event_outbox (event_id, topic, message_key, payload) VALUES ('e', 't', 'k', '{}')")
    await pool.execute("INSERT INTO rule_changes (rule_id) VALUES ('first'), ('second')")
    await pool.execute(
        "INSERT INTO experiments (name, lists, definition, variants, window_days, buckets) "
        "VALUES ('bold', 'all', '{}', '{}', 7, '{}')"
    )
    assert await advance(opened) == []
    tables = {
        "event_outbox": "event_outbox_id_seq",
        "experiments": "experiments_run_seq",
        "feature_changes": "feature_changes_id_seq",
        "feature_consumer_dlq": "feature_consumer_dlq_id_seq",
        "item_stats": "item_stats_item_key_seq",
        "ranking_models": "ranking_models_version_seq",
        "rule_changes": "rule_changes_change_id_seq",
        "user_erasures": "erasure_numbers",
    }
    newest = {name: await pool.fetchval(f"SELECT last_value FROM {name}") for name in tables.values()}
    for name in tables.values():
        await pool.execute("SELECT setval($1::text::regclass, 1, false)", name)
    opened.sequences_checked = True
    with pytest.raises(DependencyDown, match="item_stats_pkey"):
        await writer.apply(incoming(message("event-new", item_id="new")))
    assert not opened.sequences_checked
    assert await advance(opened) == list(tables)
    # An erasure may be lost whose number is in rows of events.
    newest["erasure_numbers"] += 1000
    assert {name: await pool.fetchval(f"SELECT last_value FROM {name}") for name in newest} == newest
    assert (await writer.apply(incoming(message("event-new", item_id="new")))).counted == 1


async def test_first_erasure_on_a_promoted_logical_replica_erases(opened: Database, pool: Pool) -> None:
    """Its sequence has given no number yet, and the first would be 0: that of rows which no erasure came before."""
    await pool.execute("SELECT setval('erasure_numbers', 0, false)")
    assert await advance(opened) == ["user_erasures"]
    async with opened.connection() as connection:
        await insert_events(connection, [record("ann")], erasures_of={})
        begun = await erasures.begin(connection, "ann")
    assert (await erasures.finish(opened, begun.erasures)).events == 1
    assert await advance(opened) == []


async def test_item_key_of_another_server_is_not_used(opened: Database, pool: Pool) -> None:
    """The promoted standby never had `alien`, and gave its key to `heat`."""
    writer = FeatureWriter(opened, max_retries=1)
    await writer.apply(incoming(message("event-0001")))
    await pool.execute("UPDATE item_stats SET item_id = 'heat', views = 0")
    async with opened.connection() as connection:
        with pytest.raises(DependencyDown):
            async with opened.connection() as lost:
                await lost.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        assert await connection.fetchval("SELECT 1") == 1
    async with opened.connection(), opened.connection():
        pass
    await writer.apply(incoming(message("event-0002")))
    found = await pool.fetch("SELECT item_id, views FROM item_stats ORDER BY item_id")
    assert [tuple(row) for row in found] == [("alien", 1), ("heat", 0)]


async def test_connection_without_its_prepared_statements_is_replaced(opened: Database, pool: Pool) -> None:
    writer = FeatureWriter(opened, max_retries=1)
    await writer.apply(incoming(message("event-0001")))
    async with opened.connection() as connection:
        await connection.execute("DEALLOCATE ALL")
    with pytest.raises(DependencyDown):
        await writer.apply(incoming(message("event-0002")))
    assert (await writer.apply(incoming(message("event-0002")))).counted == 1
    assert await letters(pool) == 0


async def test_part_before_a_held_message_is_in_the_cache(
    opened: Database, pool: Pool, kafka: str, topic_prefix: str, redis_url: str
) -> None:
    await raise_for_poison(pool, "23514")
    await ensure_topics(kafka_options(kafka), TOPICS, topics(topic_prefix), timeout_sec=10.0)
    producer = Producer({"bootstrap.servers": kafka})
    for number in range(20):
        value = message(f"event-{number:04d}", item_id="poison" if number else "alien")
        producer.produce(topic_prefix + TOPIC_INTERACTIONS, value, key="ann", partition=0)
    producer.flush(10.0)
    async with caching(opened, redis_url) as first:
        await first.probe()  # makes the epoch for this Redis
    options = consuming(topic_prefix)
    async with (
        caching(opened, redis_url) as cache,
        running(FeatureConsumer(opened, cache, kafka_options(kafka), options, LateFeatures())) as progress,
    ):

        async def held() -> bool:
            return progress.outcomes.failing(time.monotonic())

        await until(held)
        assert "CheckViolationError" in progress.outcomes.error
        assert await letters(pool) == 10
        await cache.probe()
        assert "ann" in (await cache.get_many(["ann"])).histories
        await pool.execute("DROP TRIGGER fail ON item_stats")


async def advance(opened: Database) -> list[str]:
    async with opened.connection() as connection:
        return sorted(await sequences.advance(connection))
