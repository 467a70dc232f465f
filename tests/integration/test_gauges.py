"""The gauges that maintenance sets, each moved by what it is about."""

import asyncio
from typing import Any

import asyncpg
import psycopg
import pytest
from structlog.testing import capture_logs

from app import metrics
from app.adapters import analytics, replay
from app.supervisor import Progress
from tests.support.pipeline import counted, database, keeping, until
from workers import gauges
from workers.maintenance import Maintenance

MINUTE_MS = 60_000


async def test_backlogs_and_the_oldest_transaction_set_their_gauges(pool: asyncpg.Pool, database_url: str) -> None:
    await pool.execute(
        "INSERT INTO event_outbox (event_id, topic, message_key, payload, status, created_at) "
        "SELECT 'e' || n, 't', 'k', '', CASE WHEN n <= 3 THEN 'pending' ELSE 'dead' END, now() - interval '1 minute' "
        "FROM generate_series(1, 5) AS n"
    )
    await pool.execute(
        "INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, error_kind, error, attempts, "
        "status, created_at) SELECT 't', 0, n, 1, 'k', 'e', 1, CASE n WHEN 1 THEN 'replayed' WHEN 2 THEN 'discarded' "
        "ELSE 'pending' END, now() - interval '1 minute' FROM generate_series(1, 6) AS n"
    )
    async with database(database_url) as opened:
        await gauges.observe_outbox(opened)
        await gauges.observe_dead_letters(opened)
        assert counted(metrics.OUTBOX_BACKLOG, status="pending") == 3
        assert counted(metrics.OUTBOX_BACKLOG, status="dead") == 2
        assert MINUTE_MS <= counted(metrics.OUTBOX_OLDEST) < 10 * MINUTE_MS
        assert counted(metrics.DLQ_BACKLOG, status="pending") == 4
        assert counted(metrics.DLQ_BACKLOG, status="replayed") == 1
        assert counted(metrics.DLQ_BACKLOG, status="discarded") == 1
        assert MINUTE_MS <= counted(metrics.DLQ_OLDEST) < 10 * MINUTE_MS

        async with pool.acquire() as old, old.transaction(isolation="repeatable_read"):
            await old.execute("SELECT count(*) FROM event_outbox")

            async def told() -> bool:
                await gauges.observe_postgres(opened)
                return counted(metrics.DATABASE_OLDEST_TRANSACTION) > 0.05

            await until(told)
        async with pool.acquire() as connection:
            await connection.execute("UPDATE event_outbox SET attempts = 1")
            await connection.execute("SELECT pg_stat_force_next_flush()")  # an idle session tells after 10 s

        async def dead_rows() -> bool:
            await gauges.observe_postgres(opened)
            return counted(metrics.DATABASE_DEAD_ROWS, table="event_outbox") > 0

        await until(dead_rows)
        await pool.execute("DELETE FROM event_outbox")
        await pool.execute("DELETE FROM feature_consumer_dlq")
        await gauges.observe_outbox(opened)
        await gauges.observe_dead_letters(opened)
    for gauge in (metrics.OUTBOX_BACKLOG, metrics.OUTBOX_OLDEST, metrics.DLQ_BACKLOG, metrics.DLQ_OLDEST):
        assert counted(gauge) == 0


async def test_resolved_dead_letters_are_counted_once_over_all_processes(pool: asyncpg.Pool, database_url: str) -> None:
    await pool.execute(
        "INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, value, error_kind, error, "
        "attempts) SELECT 't', 0, n, 1, '{}', 'k', 'e', 1 FROM generate_series(1, 5) AS n"
    )
    before = {outcome: counted(metrics.DLQ_EVENTS, outcome=outcome) for outcome in ("replayed", "discarded")}

    def resolve() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            pending = replay.Filters()
            found = replay.find(connection, "dlq", pending, after=0, limit=3)
            assert replay.requeue(connection, "dlq", found, status="pending", by="op") == 3
            last = [row.id for row in replay.find(connection, "dlq", pending, after=0, limit=9)]
            assert replay.discard(connection, "dlq", last, by="op", reason="test") == last

    await asyncio.to_thread(resolve)
    async with database(database_url) as opened:
        await asyncio.gather(*(gauges.observe_dead_letters(opened) for _ in range(3)))
    assert counted(metrics.DLQ_EVENTS, outcome="replayed") == before["replayed"] + 3
    assert counted(metrics.DLQ_EVENTS, outcome="discarded") == before["discarded"] + 2


async def test_gauges_that_fail_hold_up_no_job(pool: asyncpg.Pool, database_url: str) -> None:
    await pool.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'mine'; END $$;"
        "CREATE TRIGGER refuse BEFORE UPDATE ON feature_consumer_dlq FOR EACH ROW EXECUTE FUNCTION refuse();"
        "INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, error_kind, error, attempts, "
        "status, untold) VALUES ('t', 0, 1, 1, 'k', 'e', 1, 'replayed', TRUE);"
        "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at) "
        "VALUES ('old', 'view', 'ann', 's', 1, '', '{}', now() - interval '100 days')"
    )
    metrics.DATABASE_DEAD_ROWS.labels("event_outbox").set(-1)
    metrics.DLQ_BACKLOG.labels("replayed").set(-1)
    progress = Progress()
    async with database(database_url) as opened:
        await Maintenance(opened, None, keeping(), counted_within_sec=900.0).turn(progress)
    assert progress.detail == "the dead letters' gauges fails: RaiseError (P0001): mine"
    assert await pool.fetchval("SELECT count(*) FROM events") == 0
    assert counted(metrics.DATABASE_DEAD_ROWS, table="event_outbox") >= 0
    assert counted(metrics.DLQ_BACKLOG, status="replayed") == 1


async def test_kpis_that_are_too_slow_are_not_asked_for_in_each_turn_and_are_told_until_they_work(
    pool: asyncpg.Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pool.execute(
        "CREATE FUNCTION linger() RETURNS boolean LANGUAGE plpgsql VOLATILE AS "
        "$$ BEGIN PERFORM pg_sleep(5); RETURN TRUE; END $$;"
        "ALTER TABLE items RENAME TO slow_items;"
        "CREATE VIEW items AS SELECT * FROM slow_items WHERE linger();"
        "INSERT INTO slow_items (item_id) VALUES ('a');"
        "INSERT INTO analytics_items VALUES ('', '', 'a', now())"
    )
    asked: list[None] = []
    read = analytics.read_items

    async def asking(*arguments: Any) -> Any:
        asked.append(None)
        return await read(*arguments)

    monkeypatch.setattr(analytics, "read_items", asking)
    progress = Progress()
    async with database(database_url, statement_timeout_ms=500) as opened:
        maintenance = Maintenance(opened, None, keeping(), counted_within_sec=900.0)
        with capture_logs() as logs:
            for _ in range(3):
                await maintenance.turn(progress)
        assert len(asked) == 1
        assert progress.detail is not None
        assert progress.detail.startswith("the KPIs' gauges fails: ")
        assert [(line["event"], line["job"]) for line in logs] == [("maintenance_fails", "the KPIs' gauges")]
        await pool.execute("CREATE OR REPLACE VIEW items AS SELECT * FROM slow_items")
        maintenance._kpis.next_at = 0.0
        await maintenance.turn(progress)
        assert (len(asked), progress.detail) == (2, None)
        assert counted(metrics.KPI_CATALOGUE) == 1
