-- name: known_ids
SELECT event_id FROM events WHERE event_id = ANY ($1::text[]);

-- name: stored_time
SELECT event_id, ts_ms FROM events WHERE event_id = ANY ($1::text[]) LIMIT 1;

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
-- Events that are not counted yet and may still be: dead rows and dead letters are left out.
SELECT count(*)
FROM unnest($1::text[]) AS e (event_id)
WHERE NOT EXISTS (SELECT FROM feature_event_consumed AS c WHERE c.event_id = e.event_id)
    AND NOT EXISTS (SELECT FROM feature_consumer_dlq AS d WHERE d.event_id = e.event_id)
    AND NOT EXISTS (SELECT FROM event_outbox AS o WHERE o.event_id = e.event_id AND o.status = 'dead');
