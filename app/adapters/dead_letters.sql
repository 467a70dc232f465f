-- name: store
INSERT INTO feature_consumer_dlq (
    topic, partition, record_offset, record_ts_ms, message_key, value, header_names, header_values, event_id,
    traceparent, error_kind, error, attempts, replays
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (topic, partition, record_offset, record_ts_ms) DO NOTHING;

-- name: backlog
-- Each status up to $1 rows: a gauge that is asked for every few seconds must not read a large table.
SELECT
    s.status,
    (SELECT count(*) FROM (SELECT FROM feature_consumer_dlq WHERE status = s.status LIMIT $1) AS bounded) AS events,
    coalesce((
        SELECT extract(EPOCH FROM now() - created_at) * 1000
        FROM feature_consumer_dlq
        WHERE status = s.status
        ORDER BY id
        LIMIT 1
    ), 0)::float8 AS oldest_ms
FROM (VALUES ('pending'), ('replayed'), ('discarded')) AS s (status);

-- name: tell_resolved
-- Each is told to one process alone, and one that another process holds is left to it.
WITH told AS (
    UPDATE feature_consumer_dlq
    SET untold = FALSE
    WHERE id IN (SELECT id FROM feature_consumer_dlq WHERE untold ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING status
)
SELECT status, count(*) FROM told GROUP BY status;
