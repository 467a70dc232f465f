-- name: claim_batch
-- The row locks are the lease: they last as long as the transaction, and a relay that dies releases them at once.
SELECT
    id, event_id, topic, message_key, payload, traceparent, attempts,
    (extract(EPOCH FROM clock_timestamp() - created_at) * 1000)::float8 AS age_ms,
    (extract(EPOCH FROM clock_timestamp()) * 1000)::bigint AS claimed_ms, raw, replays, erasures,
    tracestate, letter_id
FROM event_outbox
WHERE status = 'pending' AND available_at <= now() AND id > $2
ORDER BY id
LIMIT $1
FOR UPDATE SKIP LOCKED;

-- name: limit_lease
-- A client that stops in the middle, its connection alive, must not keep the rows: the server ends its transaction.
SELECT set_config('idle_in_transaction_session_timeout', $1, true);

-- name: delete_published
DELETE FROM event_outbox WHERE id = ANY ($1::text::bigint[]);

-- name: reschedule
-- $2: seconds until the next try, NULL for a row that is dead now. Of its errors the last ten are kept.
UPDATE event_outbox AS o
SET attempts = o.attempts + 1,
    last_error = f.error,
    errors = CASE WHEN jsonb_array_length(o.errors) >= 10 THEN o.errors - 0 ELSE coalesce(o.errors, '[]') END
        || jsonb_build_object(
            'at', now(), 'task', 'outbox-relay', 'process', $4::text, 'replays', o.replays, 'error', left(f.error, 500)
        ),
    status = CASE WHEN f.delay_sec IS NULL THEN 'dead' ELSE 'pending' END,
    failed_at = now(),
    available_at = now() + make_interval(secs => coalesce(f.delay_sec, 0))
FROM unnest($1::bigint[], $2::float8[], $3::text[]) AS f (id, delay_sec, error)
WHERE o.id = f.id;

-- name: postpone
UPDATE event_outbox AS o
SET available_at = now() + make_interval(secs => p.delay_sec)
FROM unnest($1::bigint[], $2::float8[]) AS p (id, delay_sec)
WHERE o.id = p.id;

-- name: notify
SELECT pg_notify('event_outbox', '');

-- name: backlog
-- Counted up to $1 rows of each status; above that the statistics collector's number of rows in the table, which is
-- near enough for a gauge and costs the same at any size. One walk over what is pending and over deleted rows among it.
SELECT
    CASE WHEN p.counted < $1 THEN p.counted ELSE greatest(p.counted, t.rows - d.counted) END AS pending,
    d.counted AS dead,
    coalesce(extract(EPOCH FROM now() - p.oldest) * 1000, 0)::float8 AS oldest_pending_ms
FROM
    (
        SELECT count(*) AS counted, min(bounded.created_at) AS oldest
        FROM (SELECT created_at FROM event_outbox WHERE status = 'pending' ORDER BY id LIMIT $1) AS bounded
    ) AS p,
    (SELECT count(*) AS counted FROM (SELECT FROM event_outbox WHERE status = 'dead' LIMIT $1) AS bounded) AS d,
    (SELECT pg_stat_get_live_tuples('event_outbox'::regclass) AS rows) AS t;
