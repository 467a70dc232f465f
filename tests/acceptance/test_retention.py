"""The running service removes what is past its time or beyond its bound, and keeps everything else."""

import psycopg
import pytest

from tests.support.service import eventually, running


@pytest.mark.shows("RETENTION_EVENTS_DAYS", "RETENTION_DEDUPE_DAYS", "RETENTION_RESOLVED_DAYS", "RETENTION_AUDIT_DAYS")
def test_expired_rows_are_removed_by_the_running_service(environment: dict[str, str], database_url: str) -> None:
    settings = {
        "RETENTION_EVENTS_DAYS": "3",
        "RETENTION_DEDUPE_DAYS": "14",
        "RETENTION_RESOLVED_DAYS": "2",
        "RETENTION_AUDIT_DAYS": "5",
    }
    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute(
            "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at) "
            "SELECT 'event-of-' || days, 'view', 'ann', 's', 1, '', '{}', now() - make_interval(days => days) "
            "FROM unnest(ARRAY[2, 4]) AS days"
        )
        database.execute(
            "INSERT INTO feature_event_consumed (event_id, consumed_at) "
            "SELECT 'event-of-' || days, now() - make_interval(days => days) FROM unnest(ARRAY[13, 15]) AS days"
        )
        database.execute(
            "INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, error_kind, error, "
            "attempts, status, created_at, resolved_at) SELECT 't', 0, days, 1, 'decode', 'e', 1, CASE days WHEN 9 "
            "THEN 'pending' ELSE 'discarded' END, now() - make_interval(days => 9), CASE days WHEN 9 "
            "THEN NULL ELSE now() - make_interval(days => days) END FROM unnest(ARRAY[1, 3, 9]) AS days"
        )
        database.execute(
            "INSERT INTO audit_log (recorded_at, actor, action, targets, outcome, count) SELECT now() - "
            "make_interval(days => days), 'shop', 'delete_rule', ARRAY['r' || days], 'deleted', 1 "
            "FROM unnest(ARRAY[4, 6]) AS days"
        )

        def rows(query: str) -> set[object]:
            return {value for (value,) in database.execute(query)}

        with running({**environment, **settings}) as service:
            eventually(
                lambda: (
                    rows("SELECT event_id FROM events") == {"event-of-2"}
                    and rows("SELECT event_id FROM feature_event_consumed") == {"event-of-13"}
                    and rows("SELECT targets[1] FROM audit_log") == {"r4"}
                    and rows("SELECT record_offset FROM feature_consumer_dlq") == {1, 9}
                ),
                45.0,
                service.describe,
            )
            for table in ("events", "feature_event_consumed", "feature_consumer_dlq", "audit_log"):
                eventually(
                    lambda table=table: service.metric("reco_maintenance_deleted_rows_total", table=table) == 1,
                    describe=service.describe,
                )


@pytest.mark.shows(
    "RETENTION_SESSIONS_DAYS",
    "RETENTION_HISTORIES_DAYS",
    "RETENTION_ITEMS_DAYS",
    "RETENTION_PAIRS_PER_ITEM",
    "RETENTION_PAIRS_DAYS",
)
def test_tables_of_features_are_bounded_by_the_running_service(environment: dict[str, str], database_url: str) -> None:
    settings = {
        "RETENTION_SESSIONS_DAYS": "2",
        "RETENTION_HISTORIES_DAYS": "3",
        "RETENTION_ITEMS_DAYS": "5",
        "RETENTION_PAIRS_PER_ITEM": "260",
        "RETENTION_PAIRS_DAYS": "2",
    }
    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute(
            "INSERT INTO sessions (session_id, user_id, started_ms, created_at) "
            "SELECT 'session-' || days, 'ann', 1, now() - make_interval(days => days) FROM unnest(ARRAY[1, 3]) AS days"
        )
        database.execute(
            "INSERT INTO user_history (user_id, updated_at) "
            "SELECT 'user-' || days, now() - make_interval(days => days) FROM unnest(ARRAY[2, 4]) AS days"
        )
        database.execute(
            "INSERT INTO item_stats (item_id, frequency, events, popular_ms, created_at) SELECT 'item-' || days, 1, 1, "
            "extract(EPOCH FROM now() - make_interval(days => days)) * 1000, now() - interval '6 days' "
            "FROM unnest(ARRAY[4, 6]) AS days"
        )
        # Four hundred items, each of which met each other one; those with near numbers more often.
        database.execute(
            "INSERT INTO item_stats (item_key, item_id, frequency, events, popular_ms) SELECT n, 'other-' || n, 10, "
            "10, extract(EPOCH FROM now()) * 1000 FROM generate_series(1001, 1400) AS s (n)"
        )
        database.execute(
            "INSERT INTO item_pairs (item_a, item_b, weight, created_minute) SELECT a, b, 1.0 / (b - a), "
            "extract(EPOCH FROM now()) / 60 - CASE WHEN a % 2 = 0 THEN 1 ELSE 3 END * 1440 "
            "FROM generate_series(1001, 1400) AS s (a) JOIN generate_series(1001, 1400) AS t (b) ON a < b"
        )

        def rows(query: str) -> set[object]:
            return {value for (value,) in database.execute(query.encode())}

        with running({**environment, **settings}) as service:
            eventually(
                lambda: (
                    rows("SELECT session_id FROM sessions") == {"session-1"}
                    and rows("SELECT user_id FROM user_history") == {"user-2"}
                    and rows("SELECT item_id FROM item_stats WHERE item_key < 1000") == {"item-4"}
                    # Far from each other, and met first three days ago.
                    and rows("SELECT count(*) FROM item_pairs WHERE item_b - item_a > 390 AND item_a % 2 = 1") == {0}
                ),
                45.0,
                service.describe,
            )
            # The young ones of the same distance, and the best of each item.
            assert rows("SELECT count(*) FROM item_pairs WHERE item_b - item_a > 390 AND item_a % 2 = 0") == {20}
            assert rows("SELECT count(*) FROM item_pairs WHERE item_b - item_a < 130") == {129 * 400 - 129 * 130 // 2}

            def deleted(table: str) -> float:
                return service.metric("reco_maintenance_deleted_rows_total", table=table)

            eventually(lambda: deleted("user_history") == deleted("item_stats") == 1, describe=service.describe)
            eventually(lambda: deleted("item_pairs") > 0, describe=service.describe)
