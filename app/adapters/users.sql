-- name: count_events
SELECT count(*), min(ts_ms), max(ts_ms) FROM events WHERE user_id = $1;

-- name: latest_events
SELECT payload::text FROM events WHERE user_id = $1 ORDER BY received_at DESC, event_id LIMIT $2;

-- name: count_queued
SELECT count(*) FROM event_outbox WHERE left(message_key, 128) = left($1, 128) AND message_key = $1;

-- name: count_dead_letters
SELECT count(*) FROM feature_consumer_dlq
WHERE substr(message_key, 1, 512) = substr(convert_to($1, 'UTF8'), 1, 512) AND message_key = convert_to($1, 'UTF8');

-- name: erased_at
SELECT erased_at FROM user_erasures WHERE user_id = $1;

-- name: recent
-- Of the latest $1 events, so that the work is the same at any size.
SELECT user_id, max(received_at) AS last_at
FROM (SELECT user_id, received_at FROM events ORDER BY received_at DESC LIMIT $1) AS latest
GROUP BY user_id
ORDER BY last_at DESC, user_id
LIMIT $2;
