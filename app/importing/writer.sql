-- name: stored_time
SELECT event_id, ts_ms FROM events WHERE event_id = ANY ($1::text[]) LIMIT 1;

-- name: lock_tables
-- The lock of a writer. An erasure that commits from now on waits for this transaction before it removes rows (`writers`
-- in erasures.sql), and one that has committed is read.
LOCK TABLE events, event_outbox IN ROW EXCLUSIVE MODE;

-- name: add_events
-- `insert_events` (ingest.sql) for events of no request and no trace whose ids nobody has taken, of users who were never
-- erased: an id that is stored already fails it, and what that leaves out is a quarter of the whole cost. No COPY: while
-- Postgres waits for a client's next piece of one, no timeout ends it, and a stopped import would hold up erasures and
-- migrations.
WITH submitted AS MATERIALIZED (
    SELECT *
    FROM unnest(
        string_to_array($1, chr(31)), string_to_array($2, chr(31)), string_to_array($3, chr(31)), string_to_array($4, chr(31)),
        $5::text::bigint[], $6::bytea[], string_to_array($7, chr(31)), string_to_array($8, chr(31))
    ) AS s (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, topic)
),
queued AS (
    INSERT INTO event_outbox (event_id, topic, message_key, payload, erasures)
    SELECT event_id, topic, user_id, payload, 0 FROM submitted
)
INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, erasures)
SELECT event_id, event_type, user_id, session_id, ts_ms, content_hash, payload::jsonb, 0
FROM submitted
ORDER BY event_id;

-- name: add_titles
-- A log adds missing titles; what the application stored of an item stays.
INSERT INTO items (item_id, title)
SELECT * FROM unnest($1::text[], $2::text[]) AS t (item_id, title) ORDER BY item_id
ON CONFLICT (item_id) DO UPDATE SET
    title = excluded.title,
    created_at = coalesce(items.created_at, items.updated_at),
    updated_at = now()
WHERE items.title IS NULL;

-- name: last_queued
SELECT coalesce(max(id), 0) FROM event_outbox;

-- name: queued
SELECT count(*) AS events, min(id) AS oldest FROM event_outbox WHERE status = 'pending' AND id <= $1;

-- name: uncounted
-- Events that are not counted yet and may still be: dead rows, dead letters and erased events are left out.
SELECT count(*)
FROM unnest($1::text[]) AS e (event_id)
WHERE EXISTS (SELECT FROM events AS stored WHERE stored.event_id = e.event_id)
    AND NOT EXISTS (SELECT FROM feature_event_consumed AS c WHERE c.event_id = e.event_id)
    AND NOT EXISTS (SELECT FROM feature_consumer_dlq AS d WHERE d.event_id = e.event_id)
    AND NOT EXISTS (SELECT FROM event_outbox AS o WHERE o.event_id = e.event_id AND o.status = 'dead');
