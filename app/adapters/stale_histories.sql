-- name: record
INSERT INTO stale_history (user_id)
SELECT * FROM unnest($1::text[]) AS u (user_id) ORDER BY user_id
ON CONFLICT (user_id) DO NOTHING;

-- name: take
DELETE FROM stale_history
WHERE user_id IN (SELECT user_id FROM stale_history ORDER BY user_id LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING user_id;
