-- name: record
INSERT INTO feature_changes (item_ids) VALUES ($1);

-- name: record_items
INSERT INTO feature_changes (item_ids) VALUES (string_to_array($1, chr(31), ''));

-- name: newest
SELECT coalesce(max(id), 0) FROM feature_changes;

-- name: last_id
-- The id that was given out last, whether its row is committed, pruned or rolled back.
SELECT last_value FROM feature_changes_id_seq;

-- name: read
-- One row with the time alone where there are no changes.
SELECT extract(EPOCH FROM now())::float8 AS at_sec, c.id, c.item_ids
FROM (SELECT) AS asked
LEFT JOIN LATERAL (
    SELECT id, item_ids FROM feature_changes WHERE id > $1 AND id <> ALL ($2::bigint[]) ORDER BY id LIMIT $3
) AS c ON TRUE
ORDER BY c.id;

-- name: erasures
SELECT item_ids FROM feature_changes WHERE starts_with(item_ids[1], $1) ORDER BY id;

-- name: prune
-- At most $2, oldest first: also where nobody has done it for a day.
DELETE FROM feature_changes WHERE id = ANY (ARRAY(
    SELECT id FROM feature_changes
    WHERE changed_at < now() - make_interval(secs => $1)
    ORDER BY id
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));
