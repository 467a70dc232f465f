-- name: store
INSERT INTO feature_consumer_dlq (
    topic, partition, record_offset, record_ts_ms, message_key, value, header_names, header_values, event_id,
    traceparent, error_kind, error, attempts
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (topic, partition, record_offset, record_ts_ms) DO NOTHING;

-- name: backlog
SELECT
    status,
    count(*) AS events,
    (extract(EPOCH FROM now() - min(created_at)) * 1000)::float8 AS oldest_ms
FROM feature_consumer_dlq
GROUP BY status;
