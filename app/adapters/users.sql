-- name: count_events
SELECT count(*), min(ts_ms), max(ts_ms) FROM events WHERE user_id = $1;

-- name: latest_events
SELECT payload::text FROM events WHERE user_id = $1 ORDER BY received_at DESC, event_id LIMIT $2;

-- name: count_queued
SELECT count(*) FROM event_outbox WHERE message_key = $1;

-- name: count_dead_letters
SELECT count(*) FROM feature_consumer_dlq WHERE message_key = convert_to($1, 'UTF8');

-- name: erased_at
SELECT erased_at FROM user_erasures WHERE user_id = $1;
