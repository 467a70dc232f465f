-- name: forget_histories
-- Histories in the blocks from $1 to before $2 whose users did nothing for $3 seconds.
DELETE FROM user_history WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM user_history
    WHERE ctid >= $1 AND ctid < $2 AND updated_at < now() - make_interval(secs => $3)
    FOR UPDATE SKIP LOCKED
));

-- name: forget_links
-- Links in the blocks from $1 to before $2, at least $3 seconds old, whose anonymous id has no history and no events that
-- are left to be erased. It may never have had a history: whoever logs in at once does nothing before.
DELETE FROM user_links WHERE ctid = ANY (ARRAY(
    SELECT l.ctid FROM user_links AS l
    WHERE
        l.ctid >= $1 AND l.ctid < $2 AND l.linked_at < now() - make_interval(secs => $3)
        AND NOT EXISTS (SELECT FROM user_history AS h WHERE h.user_id = l.anonymous_id)
        AND NOT EXISTS (SELECT FROM events AS e WHERE e.user_id = l.anonymous_id)
    FOR UPDATE OF l SKIP LOCKED
));

-- name: forget_shown
-- Items in the blocks from $1 to before $2 that were not shown for $3 seconds, in whole days.
DELETE FROM analytics_items WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM analytics_items
    WHERE
        ctid >= $1 AND ctid < $2
        AND last_day < (now() AT TIME ZONE 'UTC' - make_interval(secs => $3))::date
    FOR UPDATE SKIP LOCKED
));

-- name: gone_items
-- Items in the blocks from $1 to before $2 that are not in the catalogue, with no event and no row for $3 seconds. An
-- imported item is as old as its row.
SELECT s.item_key
FROM item_stats AS s
WHERE
    s.ctid >= $1 AND s.ctid < $2
    AND s.created_at < now() - make_interval(secs => $3)
    AND s.popular_ms < (extract(EPOCH FROM now()) - $3::float8) * 1000
    AND NOT EXISTS (SELECT FROM items AS i WHERE i.item_id = s.item_id)
LIMIT $4;

-- name: delete_pairs
-- At most $2 pairs of these items; those that the consumer adds to stay.
DELETE FROM item_pairs WHERE ctid = ANY (ARRAY(
    SELECT p.ctid FROM item_pairs AS p
    WHERE p.item_a = ANY ($1::integer[]) OR p.item_b = ANY ($1::integer[])
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));

-- name: may_remove
-- Whether no rebuild copies the items' keys just now, or has done so and is unfinished.
SELECT pg_try_advisory_xact_lock(7236353)
    AND NOT EXISTS (SELECT FROM feature_generations WHERE state = 'building');

-- name: remove_items
-- While nobody counts: those of these items that still have neither events nor pairs.
DELETE FROM item_stats AS s
WHERE
    s.item_key = ANY ($1::integer[])
    AND s.popular_ms < (extract(EPOCH FROM now()) - $2::float8) * 1000
    AND NOT EXISTS (SELECT FROM item_pairs AS p WHERE p.item_a = s.item_key)
    AND NOT EXISTS (SELECT FROM item_pairs AS p WHERE p.item_b = s.item_key);

-- name: note_removal
UPDATE feature_generations SET removals = removals + 1 WHERE state = 'serving';
