"""The running service removes what is past its time, and keeps everything else."""

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
                assert service.metric("reco_maintenance_deleted_rows_total", table=table) == 1
