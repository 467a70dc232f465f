-- name: insert_events
-- One statement, one snapshot, one commit for all of it: an outbox row exists for exactly the events inserted here.
-- The rows go in by event id, so that two statements with the same ids wait for each other and never deadlock.
-- All of them keep the number of the last erasure, read once and after the tables are locked (`writers` in erasures.sql),
-- or that of their user's last one that the caller knows of ($12).
-- The function is what the view `pg_sequences` uses. It is cheaper than a scan of the sequence as a table.
WITH last_erasure AS (
    SELECT pg_sequence_last_value('erasure_numbers')::integer AS number
),
submitted AS (
    SELECT *
    FROM unnest(
        string_to_array($1, chr(31), ''), string_to_array($2, chr(31), ''), string_to_array($3, chr(31), ''), string_to_array($4, chr(31), ''),
        string_to_array($5, chr(31), ''), $6::text::bigint[], $7::bytea[], string_to_array($8, chr(31), ''), string_to_array($9, chr(31), ''),
        string_to_array($10, chr(31), ''), string_to_array($11, chr(31), ''), $12::text::integer[]
    ) WITH ORDINALITY AS s (
        event_id, event_type, user_id, session_id, request_id, ts_ms, content_hash, payload, topic, traceparent, tracestate,
        erasures, position
    )
),
inserted AS (
    INSERT INTO events (event_id, event_type, user_id, session_id, request_id, ts_ms, content_hash, payload, erasures)
    SELECT
        event_id, event_type, user_id, session_id, request_id, ts_ms, content_hash, payload::jsonb,
        coalesce(erasures, (SELECT number FROM last_erasure))
    FROM submitted
    ORDER BY event_id
    ON CONFLICT (event_id) DO NOTHING
    RETURNING event_id
),
queued AS (
    INSERT INTO event_outbox (event_id, topic, message_key, payload, traceparent, tracestate, erasures)
    SELECT
        event_id, topic, user_id, payload, traceparent, tracestate,
        coalesce(erasures, (SELECT number FROM last_erasure))
    FROM submitted
    JOIN inserted USING (event_id)
    ORDER BY position
)
SELECT event_id, coalesce((SELECT number FROM last_erasure), 0) FROM inserted;

-- name: content_hashes
SELECT event_id, content_hash FROM events WHERE event_id = ANY ($1::text[]);

-- name: be_quick
SELECT set_config('lock_timeout', '1000', true), set_config('statement_timeout', '2000', true);

-- name: count_probe
-- Postgres' statistics count rows that are rolled back: `app/adapters/flow.sql` takes these from the events.
INSERT INTO probed_events DEFAULT VALUES;

-- name: latest_of_five_users
SELECT DISTINCT ON (user_id) event_type, user_id, session_id, request_id, ts_ms, content_hash, payload::text
FROM (SELECT * FROM events ORDER BY event_id DESC LIMIT 100) AS latest
LIMIT 5;
