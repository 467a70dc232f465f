"""What is past its time goes, and nothing else."""

import json
from collections import Counter
from typing import Final

import asyncpg
import pytest

from app import metrics
from app.adapters import building, rebuild_locks, users
from app.adapters import retention as statements
from app.errors import DependencyDown
from tests.support.pipeline import counted, database, keeping
from workers import retention as module
from workers.retention import Retention


async def test_expired_rows_are_deleted_and_pending_ones_kept(pool: asyncpg.Pool, database_url: str) -> None:
    found = pool.fetchval
    old = "now() - interval '40 days'"
    await pool.execute(
        "INSERT INTO feature_event_consumed (event_id, consumed_at) "
        f"SELECT 'e' || n, {old} FROM generate_series(1, 4500) AS n"
    )
    await pool.execute("INSERT INTO feature_event_consumed (event_id) VALUES ('new')")
    for event_id, received_at in (("old", old), ("old-on-its-way", old), ("new", "now()")):
        await pool.execute(
            "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at) "
            f"VALUES ('{event_id}', 'view', 'u', 's', 1, '', '{{}}', {received_at})"
        )
    await pool.execute(
        "INSERT INTO event_outbox (event_id, topic, message_key, payload, status, created_at, resolved_at) VALUES "
        f"('old-on-its-way', 't', 'k', '', 'pending', {old}, NULL), ('x', 't', 'k', '', 'dead', {old}, NULL), "
        f"('y', 't', 'k', '', 'discarded', {old}, {old}), ('z', 't', 'k', '', 'discarded', {old}, now())"
    )
    await pool.execute(
        "INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, error_kind, error, attempts, "
        f"status, created_at, resolved_at) VALUES ('t', 0, 1, 1, 'k', 'e', 1, 'pending', {old}, NULL), "
        f"('t', 0, 2, 1, 'k', 'e', 1, 'replayed', {old}, {old}), "
        f"('t', 0, 3, 1, 'k', 'e', 1, 'discarded', {old}, {old}), ('t', 0, 4, 1, 'k', 'e', 1, 'replayed', {old}, now())"
    )
    await pool.execute(
        f"INSERT INTO sessions (session_id, user_id, started_ms, created_at) VALUES ('old', 'ann', 1, {old}), "
        "('new', 'ann', 1, now())"
    )
    days = "(now() AT TIME ZONE 'UTC')::date - unnest(ARRAY[40, 41])"
    await pool.execute(
        f"INSERT INTO analytics_shown (day, source, model_version) SELECT {days}, 's', 'm';"
        f"INSERT INTO analytics_watches SELECT {days}, 1, 1;"
        f"INSERT INTO analytics_variants (day, variant, user_group, top_rank) SELECT {days}, 'v', 0, 1;"
        f"INSERT INTO analytics_conversions SELECT {days}, 'p', 's', 'v', 0;"
        f"INSERT INTO analytics_revenue SELECT {days}, 'p', 's', 'v', 'EUR', 0;"
        f"INSERT INTO analytics_coverage SELECT {days}, 'p', 's', 'v', ''"
    )
    await pool.execute(f"INSERT INTO rule_changes (rule_id, changed_at) VALUES ('old', {old}), ('new', now())")
    await pool.execute(
        "INSERT INTO experiment_users (run, user_id, variant, exposed_at) VALUES "
        f"(1000, 'ann', 'v', {old}), (1000, 'bob', 'v', now())"
    )
    await pool.execute(
        "INSERT INTO audit_log (recorded_at, action, targets, outcome, count) VALUES "
        f"({old}, 'delete_rule', '{{old}}', 'deleted', 1), (now(), 'delete_rule', '{{new}}', 'deleted', 1)"
    )
    before = counted(metrics.MAINTENANCE_DELETED, table="feature_event_consumed")
    async with database(database_url) as opened:
        retention = Retention(opened, keeping(audit_days=35))
        deleted: Counter[str] = Counter()
        while turn := await retention.sweep():  # nothing is due again for a while once all of it is done
            deleted.update(turn)
    assert deleted == {
        "feature_event_consumed": 4500,
        "events": 2,
        "feature_consumer_dlq": 2,
        "event_outbox": 1,
        "sessions": 1,
        "analytics_shown": 1,
        "analytics_watches": 1,
        "analytics_variants": 1,
        "analytics_conversions": 1,
        "analytics_revenue": 1,
        "analytics_coverage": 1,
        "experiment_users": 1,
        "audit_log": 1,
        "rule_changes": 1,
    }
    for table in ("shown", "watches", "variants", "conversions", "revenue", "coverage"):
        assert await found(f"SELECT count(*) FROM analytics_{table}") == 1
    assert counted(metrics.MAINTENANCE_DELETED, table="feature_event_consumed") == before + 4500
    assert await found("SELECT array_agg(event_id) FROM feature_event_consumed") == ["new"]
    assert await found("SELECT array_agg(event_id ORDER BY event_id) FROM events") == ["new"]
    assert await found("SELECT array_agg(record_offset ORDER BY record_offset) FROM feature_consumer_dlq") == [1, 4]
    assert await found("SELECT array_agg(event_id ORDER BY event_id) FROM event_outbox") == [
        "old-on-its-way",
        "x",
        "z",
    ]


async def test_discarded_rows_stay_as_long_as_events_of_before_are_stored(
    pool: asyncpg.Pool, database_url: str
) -> None:
    """A rebuild would count their events otherwise, once the dedupe rows of that time have expired."""
    old = "now() - interval '50 days'"
    await pool.execute(
        "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at) "
        "VALUES ('given-up', 'view', 'u', 's', 1, '', '{}', now() - interval '60 days')"
    )
    await pool.execute(
        "INSERT INTO event_outbox (event_id, topic, message_key, payload, status, created_at, resolved_at) "
        f"VALUES ('given-up', 't', 'k', '', 'discarded', {old}, {old})"
    )
    await pool.execute(
        "INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, event_id, error_kind, error, "
        "attempts, status, created_at, resolved_at) VALUES "
        f"('t', 0, 1, 1, 'given-up', 'k', 'e', 1, 'discarded', {old}, {old}), "
        f"('t', 0, 2, 1, 'counted', 'k', 'e', 1, 'replayed', {old}, {old})"
    )
    left = "SELECT (SELECT count(*) FROM event_outbox), (SELECT count(*) FROM feature_consumer_dlq)"
    async with database(database_url) as opened:
        await Retention(opened, keeping(events_days=400)).sweep()
        assert tuple(await pool.fetchrow(left)) == (1, 1)
        await Retention(opened, keeping()).sweep()
        assert tuple(await pool.fetchrow(left)) == (0, 0)


async def test_no_event_goes_while_a_rebuild_runs(pool: asyncpg.Pool, database_url: str) -> None:
    """Rows of files that are stored as well are left to what is stored."""
    await pool.execute(
        "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at) "
        "VALUES ('old', 'view', 'u', 's', 1, '', '{}', now() - interval '40 days')"
    )
    async with database(database_url) as opened:
        async with building.connection(database_url) as rebuilding:
            assert await rebuild_locks.try_alone(rebuilding)
            assert (await Retention(opened, keeping()).sweep())["events"] == 0
        assert (await Retention(opened, keeping()).sweep())["events"] == 1


async def test_tables_that_take_long_hold_up_no_others_and_no_turn(
    pool: asyncpg.Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TURN_SEC", 0.15)
    old = "now() - interval '400 days'"
    await pool.execute(f"INSERT INTO rule_changes (rule_id, changed_at) VALUES ('old', {old})")
    slow = (
        "events, feature_event_consumed, feature_consumer_dlq, event_outbox, sessions, analytics_shown, "
        "analytics_watches, analytics_variants, analytics_conversions, experiment_users, audit_log"
    )
    async with database(database_url, lock_timeout_ms=100) as opened:
        retention = Retention(opened, keeping())
        async with pool.acquire() as locking, locking.transaction():
            await locking.execute(f"LOCK TABLE {slow} IN ACCESS EXCLUSIVE MODE")
            failing: list[int] = []
            # On a busy machine a turn may have time for no more than one table.
            for _ in range(30):
                with pytest.raises(DependencyDown) as told:
                    await retention.sweep()
                failing.append(told.value.reason.count("LockNotAvailableError"))
            assert failing[0] <= 2, "a turn ends when its time is up, whatever is left"
            assert await pool.fetchval("SELECT count(*) FROM rule_changes") == 0


EVENTS: Final = (
    "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at) "
    "SELECT 'e' || n, 'view', 'u' || n / 10000, 's', 1, '', '{}', now() - interval '1 minute' * n"
)
TIMES: Final = {
    "events": EVENTS,
    "feature_event_consumed": "INSERT INTO feature_event_consumed (event_id, consumed_at) "
    "SELECT 'e' || n, now() - interval '1 minute' * n",
    "sessions": "INSERT INTO sessions (session_id, user_id, started_ms, created_at) "
    "SELECT 's' || n, 'u', 1, now() - interval '1 minute' * n",
}


@pytest.mark.parametrize("table", TIMES)
async def test_expired_rows_are_found_at_once_when_rows_have_taken_the_place_of_others(
    pool: asyncpg.Pool, table: str
) -> None:
    """As in each table that is older than its retention: a summary of blocks would know of times that are long gone."""

    async def plant(first: int, last: int) -> None:
        await pool.execute(f"{TIMES[table]} FROM generate_series({last}, {first}, -1) AS s (n)")

    async def blocks() -> int:
        found: int = await pool.fetchval(f"SELECT pg_relation_size('{table}') / 8192")
        return found

    await plant(60_001, 80_000)
    await plant(20_001, 60_000)
    await pool.execute(f"VACUUM {table}")
    before = await blocks()
    while await pool.execute(statements._SQL[table], 60_000 * 60.0, 2_000) != "DELETE 0":
        pass
    await pool.execute(f"VACUUM ANALYZE {table}")
    await plant(1, 20_000)
    await pool.execute(f"VACUUM ANALYZE {table}")
    assert await blocks() <= before * 1.05, "the new rows are where the expired ones were"
    async with pool.acquire() as connection, connection.transaction():
        (found,) = await connection.fetch(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statements._SQL[table].rstrip(';')}", 60_000 * 60.0, 2_000
        )
        (plan,) = json.loads(found[0])
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < before / 10


KEPT: Final = {
    "event_outbox": """INSERT INTO event_outbox (event_id, topic, message_key, payload, status, resolved_at)
    SELECT 'e' || n, 't', 'u', '{}', 'discarded', now() FROM n""",
    "feature_consumer_dlq": """INSERT INTO feature_consumer_dlq (
        topic, partition, record_offset, record_ts_ms, error_kind, error, attempts, status, resolved_at
    ) SELECT 't', 0, n, 1, 'k', 'e', 1, 'replayed', now() FROM n""",
    "experiment_users": """INSERT INTO experiment_users (run, user_id, variant, exposed_at)
    SELECT x.run, 'u' || n, 'v', now() - interval '10 days' FROM n CROSS JOIN experiments AS x""",
}


@pytest.mark.parametrize("table", KEPT)
async def test_rows_that_are_not_expired_are_not_read(pool: asyncpg.Pool, table: str) -> None:
    """However many there are: these tables are looked at every half minute."""
    await pool.execute(
        "INSERT INTO experiments (name, lists, definition, variants, window_days, buckets) "
        "VALUES ('runs', 'reco', '{}', '{v}', 90, '{}')"
    )
    await pool.execute(f"WITH n AS (SELECT generate_series(1, 20000) AS n) {KEPT[table]}")
    await pool.execute(f"VACUUM ANALYZE {table}")
    blocks = await pool.fetchval(f"SELECT pg_relation_size('{table}') / 8192")
    (found,) = await pool.fetch(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statements._SQL[table].rstrip(';')}", 86_400.0, 2_000
    )
    (plan,) = json.loads(found[0])
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < blocks / 10


async def test_latest_users_are_found_where_expired_rows_were(pool: asyncpg.Pool) -> None:
    for first, last in ((70_000, 79_999), (30_000, 39_999)):
        await pool.execute(f"{EVENTS} FROM generate_series({last}, {first}, -1) AS s (n)")
    while await pool.execute(statements._SQL["events"], 60_000 * 60.0, 2_000) != "DELETE 0":
        pass
    await pool.execute("VACUUM events")
    await pool.execute(f"{EVENTS} FROM generate_series(9_999, 1, -1) AS s (n)")
    async with pool.acquire() as connection:
        assert [user_id for user_id, _ in await users.read_recent(connection, 2)] == ["u0"]
