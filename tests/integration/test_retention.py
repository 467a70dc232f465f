"""What is past its time goes, and nothing else."""

from collections import Counter

import asyncpg

from app import metrics
from tests.support.pipeline import counted, database, keeping
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
        f"INSERT INTO analytics_items SELECT 's', 'm', day::text, day FROM (SELECT {days} AS day) AS d;"
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
        "analytics_items": 1,
        "analytics_variants": 1,
        "analytics_conversions": 1,
        "analytics_revenue": 1,
        "analytics_coverage": 1,
        "experiment_users": 1,
        "audit_log": 1,
        "rule_changes": 1,
    }
    for table in ("shown", "watches", "items", "variants", "conversions", "revenue", "coverage"):
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
