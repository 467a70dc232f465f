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

-- name: erased
SELECT user_id, (extract(EPOCH FROM erased_at) * 1000)::bigint AS erased_ms
FROM user_erasures
WHERE user_id = ANY ($1::text[]);

-- name: remember_erasure
INSERT INTO user_erasures (user_id, erased_at) VALUES ($1, clock_timestamp())
ON CONFLICT (user_id) DO UPDATE SET erased_at = excluded.erased_at
RETURNING erased_at;

-- name: erase_history
DELETE FROM user_history WHERE user_id = $1;

-- name: erase_events
DELETE FROM events WHERE user_id = $1;

-- name: erase_queued
-- Rows that a relay holds are on their way already: the consumer passes them over because of the erasure.
DELETE FROM event_outbox
WHERE id IN (SELECT id FROM event_outbox WHERE message_key = $1 FOR UPDATE SKIP LOCKED);

-- name: erase_dead_letters
DELETE FROM feature_consumer_dlq WHERE message_key = convert_to($1, 'UTF8');

-- name: erase_batches
-- Whose messages stand in a batch that cannot be read nobody can say: its bytes go, and the letter stays.
UPDATE feature_consumer_dlq SET value = NULL WHERE error_kind = 'batch' AND value IS NOT NULL;
