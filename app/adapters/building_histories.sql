-- name: last_counted
SELECT coalesce(h.updated_at, now())
FROM unnest($1::text[]) WITH ORDINALITY AS u (user_id, place) LEFT JOIN user_history AS h USING (user_id)
ORDER BY u.place;

-- name: put
INSERT INTO user_history AS h (user_id, history, updated_at)
SELECT u.user_id, u.history, u.updated_at
FROM unnest($1::text[], $2::bytea[], $3::timestamptz[]) AS u (user_id, history, updated_at)
ORDER BY u.user_id
ON CONFLICT (user_id) DO UPDATE
SET history = excluded.history, version = excluded.version, updated_at = excluded.updated_at;

-- name: forget
DELETE FROM reco_building.user_history WHERE user_id = ANY ($1::text[]);
