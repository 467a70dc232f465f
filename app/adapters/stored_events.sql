-- name: read_messages
SELECT event_id, payload::text FROM events WHERE event_id = ANY ($1::text[]);
