-- name: items
SELECT item_id, title, categories, tags, published_at, expires_at, hidden, updated_at FROM items
WHERE item_id > $1
ORDER BY item_id
LIMIT $2;

-- name: users
SELECT user_id FROM user_history WHERE user_id > $1 ORDER BY user_id LIMIT $2;

-- name: known_user
SELECT EXISTS (SELECT FROM user_history WHERE user_id = $1) OR EXISTS (SELECT FROM events WHERE user_id = $1);

-- name: feedback
-- In the order of the primary key, and not of time: any page costs the same.
SELECT event_id, payload::text FROM events
WHERE event_id > $1 AND event_type <> 'impression'
    AND ($3::text IS NULL OR coalesce(payload -> 'context' ->> 'feedback_type', event_type) = $3)
ORDER BY event_id
LIMIT $2;

-- name: feedback_of_user
SELECT payload::text FROM events
WHERE user_id = $1 AND event_type <> 'impression'
    AND ($2::text IS NULL OR coalesce(payload -> 'context' ->> 'feedback_type', event_type) = $2)
    AND ($3::text IS NULL OR payload ->> 'item_id' = $3)
ORDER BY ts_ms DESC, event_id
LIMIT $4;
