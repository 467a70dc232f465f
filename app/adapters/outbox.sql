-- name: claim_batch
-- The row locks are the lease: they last as long as the transaction, and a relay that dies gives them back at once.
SELECT
    id, event_id, topic, message_key, payload, traceparent, attempts,
    (extract(EPOCH FROM clock_timestamp() - created_at) * 1000)::float8 AS age_ms
FROM event_outbox
WHERE status = 'pending' AND available_at <= now()
ORDER BY id
LIMIT $1
FOR UPDATE SKIP LOCKED;

-- name: delete_published
DELETE FROM event_outbox WHERE id = ANY ($1::bigint[]);

-- name: put_back
-- $2: seconds until the next try, NULL for a row that is dead now.
UPDATE event_outbox AS o
SET attempts = o.attempts + 1,
    last_error = f.error,
    status = CASE WHEN f.delay_sec IS NULL THEN 'dead' ELSE 'pending' END,
    failed_at = now(),
    available_at = now() + make_interval(secs => coalesce(f.delay_sec, 0))
FROM unnest($1::bigint[], $2::float8[], $3::text[]) AS f (id, delay_sec, error)
WHERE o.id = f.id;

-- name: notify
SELECT pg_notify('event_outbox', '');

-- name: backlog
SELECT
    count(*) FILTER (WHERE status = 'pending') AS pending,
    count(*) FILTER (WHERE status = 'dead') AS dead,
    coalesce(
        extract(EPOCH FROM now() - min(created_at) FILTER (WHERE status = 'pending')) * 1000, 0
    )::float8 AS oldest_pending_ms
FROM event_outbox;
