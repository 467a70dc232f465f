-- name: mark
-- A snapshot, and the clock after it: what the snapshot sees was received before.
SELECT pg_current_snapshot()::text, clock_timestamp(), pg_is_in_recovery();

-- name: first_received
SELECT min(received_at) FROM events;

-- name: count
SELECT count(*) FROM events WHERE received_at >= %(begin)s AND received_at < %(end)s;

-- name: read
-- The events received in a window that the mark `upto` has and the mark `since` (or NULL) has not. A mark has the events
-- that were received until its time by transactions that its snapshot sees: each event is between two marks once, however
-- late its transaction commits. The time is there for a promoted standby, which uses transaction numbers again.
-- xmin has 32 bits, a snapshot 64: the number is the last one with these bits that was given out.
WITH numbers AS MATERIALIZED (
    SELECT
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next,
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint & ~4294967295::bigint AS epoch
),
received AS (
    SELECT
        e.received_at, e.event_id, e.payload, e.user_id, e.erasures,
        (
            n.epoch + e.xmin::text::bigint
            - CASE WHEN n.epoch > 0 AND n.epoch + e.xmin::text::bigint > n.next THEN 4294967296 ELSE 0 END
        )::text::xid8 AS written_by
    FROM events AS e
    CROSS JOIN numbers AS n
    WHERE e.received_at >= %(begin)s AND e.received_at < %(end)s
        AND (e.event_type = 'impression') = %(impressions)s
)
SELECT r.received_at, r.payload::text
FROM received AS r
WHERE
    r.received_at <= %(upto_at)s AND pg_visible_in_snapshot(r.written_by, %(upto)s::text::pg_snapshot)
    AND NOT coalesce(
        r.received_at <= %(since_at)s::timestamptz
        AND pg_visible_in_snapshot(r.written_by, %(since)s::text::pg_snapshot), FALSE
    )
    AND NOT EXISTS (
        SELECT FROM user_erasures AS x
        WHERE
            x.user_id = r.user_id
            AND (r.erasures < x.number OR (r.erasures IS NULL AND r.received_at <= x.erased_at))
    )
ORDER BY r.received_at, r.event_id;
