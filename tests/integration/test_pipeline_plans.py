"""The plans of what relay, consumer and maintenance run all the time, of baskets and of orders: by an index, at any
size of the tables.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import pytest

from app.adapters import (
    analytics,
    baskets,
    changes,
    dead_letters,
    erasures,
    features,
    gone,
    outbox,
    pair_bounds,
    retention,
    sessions,
    stored_events,
    uncounted,
    users,
)

ROWS: Final = 5000
NOW: Final = datetime.now(UTC)

# Statement → its arguments. All of these are run for each batch, or every few seconds.
STATEMENTS: Final[dict[str, tuple[str, tuple[Any, ...]]]] = {
    "claim": (outbox._SQL["claim_batch"], (100, 0)),
    "delete published": (outbox._SQL["delete_published"], ("{1,2,3}",)),
    "reschedule": (outbox._SQL["reschedule"], ([1, 2], [1.0, None], ["a", "b"], "host-1")),
    "outbox backlog": (outbox._SQL["backlog"], (100,)),
    "dead letter backlog": (dead_letters._SQL["backlog"], (100,)),
    "a dead letter without a key": (
        dead_letters._SQL["store"],
        ("t", 0, 1, 1, None, b"v", [], [], None, None, "k", "e", 1, 0, 0, None, None, ["e"], [0.0], "host-1"),
    ),
    "item keys": (features._SQL["item_keys"], (["item-1", "item-2"],)),
    "write histories": (features._SQL["write_histories"], ("user-1", [b""])),
    "read histories": (features._SQL["read_histories"], (["user-1"],)),
    "popular items": (features._SQL["read_popular"], (100, 1.0, 1.0, 1.0, False, 1, 50, 0.0, 0.0, 0.0)),
    "the beginning of a part of the items": (features._SQL["begin_of_part"], (100, 50)),
    "neighbours": (features._SQL["read_neighbours"], (["item-1"], 100, 0.4, 0.6, 1.0)),
    "last erasures": (erasures._SQL["last"], ("user-1\x1fuser-2",)),
    "unfinished erasures": (erasures._SQL["unfinished"], (10.0, 100, 7)),
    "events of an erased user": (erasures._SQL["delete_events"], ("u1", 1, NOW, 100)),
    "queued events of an erased user": (erasures._SQL["delete_queued"], ("user-1", 1, NOW, 100)),
    "dead letters of an erased user": (erasures._SQL["delete_dead_letters"], ("user-1", 1, NOW, 100)),
    "letters that may be of any user": (erasures._SQL["empty_batches"], (100,)),
    "the end of an erasure": (erasures._SQL["finish"], ("user-1", 1, NOW)),
    "queued events of a user": (users._SQL["count_queued"], ("user-1",)),
    "dead letters of a user": (users._SQL["count_dead_letters"], ("user-1",)),
    "uncounted events": (uncounted._SQL["uncounted"], (NOW - timedelta(days=1), NOW, [], 100)),
    "events that are still uncounted": (uncounted._SQL["uncounted"], (None, None, ["e1", "e2"], 2)),
    "retention of dedupe rows": (retention._SQL["feature_event_consumed"], (3_000_000.0, 100)),
    "retention of events": (retention._SQL["events"], (3_000_000.0, 100)),
    "retention of dead letters": (retention._SQL["feature_consumer_dlq"], (3_000_000.0, 100)),
    "retention of dead rows": (retention._SQL["event_outbox"], (3_000_000.0, 100)),
    "retention of the audit log": (retention._SQL["audit_log"], (3_000_000.0, 100)),
    "retention of sessions": (retention._SQL["sessions"], (3_000_000.0, 100)),
    "sessions of erased users": (sessions._SQL["erase"], (["user-1"],)),
    "items shown": (analytics._SQL["read_items"], (NOW.date(), [""], [""])),
    "links of ids that are gone": (gone._SQL["forget_links"], ((0, 0), (1_000, 0), 3_000_000.0)),
    "changes that all have seen": (changes._SQL["prune"], (300.0, 100)),
    "items to judge the pairs of": (pair_bounds._SQL["items_after"], (10, 100)),
    "pairs to judge": (pair_bounds._SQL["read"], ([1, 2, 3], 1, 100.0)),
    "pairs to delete": (pair_bounds._SQL["delete"], ("{1,2}", "{2,3}", "{1,1}")),
    "pairs of items that are gone": (gone._SQL["delete_pairs"], ([1, 2, 3], 100)),
    "items that are gone": (gone._SQL["remove_items"], ([1, 2, 3], 3_000_000.0)),
    "orders": (stored_events._SQL["read_orders"], ("u1\x1fu2", "o1\x1fo2", 1_000)),
    "latest users": (users._SQL["recent"], (2_000, 20)),
    "baskets": (baskets._SQL["read"], ("item-1", 1_000, 1_000_000, 200, 3, 5_000)),
}


@pytest.fixture
async def filled(pool: asyncpg.Pool) -> asyncpg.Pool:
    for statement in (
        """INSERT INTO event_outbox (event_id, topic, message_key, payload)
        SELECT 'e' || n, 't', 'user-' || n, '{}' FROM n""",
        "INSERT INTO feature_event_consumed (event_id) SELECT 'e' || n FROM n",
        """INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload)
        SELECT 'e' || n, 'view', 'u' || n, 's', 1, '', '{}' FROM n""",
        """INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload)
        SELECT 'p' || n, 'purchase', 'u' || n / 5, 's', 1, '',
            format('{"item_id": "item-1", "context": {"order_id": "o%s"}}', n)::jsonb FROM n""",
        """INSERT INTO feature_consumer_dlq (
            topic, partition, record_offset, record_ts_ms, message_key, value, error_kind, error, attempts
        ) SELECT 't', 0, n, 1, convert_to('user-' || n, 'UTF8'), 'v', 'k', 'e', 1 FROM n""",
        "INSERT INTO analytics_items SELECT 's' || n % 9, 'm', 'item-' || n, now() FROM n",
        "INSERT INTO item_stats (item_id, frequency) SELECT 'item-' || n, 1 FROM n",
        "INSERT INTO item_pairs (item_a, item_b, weight) SELECT n, n + 1, 1 FROM n",
        "INSERT INTO user_history (user_id) SELECT 'user-' || n FROM n",
        "INSERT INTO user_erasures (user_id, unfinished) SELECT 'user-' || n, n < 10 FROM n",
        "INSERT INTO sessions (session_id, user_id, started_ms) SELECT 's' || n, 'user-' || n, 1 FROM n",
        "INSERT INTO user_links (user_id, anonymous_id) SELECT 'user-' || n, 'kiosk-' || n FROM n",
        "INSERT INTO feature_changes (item_ids) SELECT ARRAY['item-' || n] FROM n",
        "INSERT INTO audit_log (action, targets, outcome, count) SELECT 'delete_rule', '{r}', 'deleted', 1 FROM n",
    ):
        await pool.execute(f"WITH n AS (SELECT generate_series(1, {ROWS}) AS n) {statement}")
    await pool.execute("ANALYZE")
    return pool


@pytest.mark.parametrize("name", STATEMENTS)
async def test_each_hot_query_uses_an_index(filled: asyncpg.Pool, name: str) -> None:
    """With sequential scans made expensive: one that is left has no index to take its place."""
    statement, arguments = STATEMENTS[name]
    async with filled.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute("SET LOCAL enable_seqscan = off")
            rows = await connection.fetch("EXPLAIN " + statement.rstrip(";"), *arguments)
        finally:
            await transaction.rollback()
    plan = "\n".join(row[0] for row in rows)
    assert "Index" in plan, plan
    assert "Seq Scan on" not in plan, plan
