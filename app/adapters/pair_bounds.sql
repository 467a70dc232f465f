-- name: items_after
SELECT item_key FROM item_stats WHERE item_key > $1 ORDER BY item_key LIMIT $2;

-- name: read
-- The pairs of those of these items that have more than $2, or had, as the bytes of numbers; those that had may have none
-- by now. $3: pairs that are younger than so many minutes are young. The latest event of all these items is about the
-- log's clock.
SELECT i.item_key, i.frequency, i.events, greatest(i.popular_ms, near.log_ms), near.others, near.sums
FROM item_stats AS i
CROSS JOIN LATERAL (
    SELECT
        max(s.popular_ms) AS log_ms,
        coalesce(string_agg(int4send(p.other), ''), '') AS others,
        coalesce(string_agg(
            float8send(p.weight) || float8send(p.follows) || float8send(p.followed)
            || float8send(s.frequency) || float8send(s.events) || float8send(s.pair_floor)
            || float8send((p.created_minute > extract(EPOCH FROM now()) / 60 - $3::float8)::integer), ''
        ), '') AS sums
    FROM (
        SELECT item_b AS other, weight, a_to_b AS follows, b_to_a AS followed, created_minute
        FROM item_pairs WHERE item_a = i.item_key
        UNION ALL
        SELECT item_a, weight, b_to_a, a_to_b, created_minute FROM item_pairs WHERE item_b = i.item_key
    ) AS p
    JOIN item_stats AS s ON s.item_key = p.other
    HAVING count(*) > $2 OR i.pair_floor > 0
) AS near
WHERE i.item_key = ANY ($1::integer[])
ORDER BY i.item_key;

-- name: delete
-- Pairs that the consumer adds to meanwhile stay: they are locked, or have another weight by now.
DELETE FROM item_pairs WHERE ctid = ANY (ARRAY(
    SELECT p.ctid
    FROM unnest($1::text::integer[], $2::text::integer[], $3::text::float8[]) AS d (one, other, weight)
    JOIN item_pairs AS p ON p.item_a = least(d.one, d.other) AND p.item_b = greatest(d.one, d.other)
    WHERE p.weight = d.weight
    FOR UPDATE OF p SKIP LOCKED
));

-- name: set_floors
-- Those that the consumer adds to just now have theirs set in the next walk.
WITH free AS MATERIALIZED (
    SELECT s.ctid, f.pair_floor
    FROM unnest($1::integer[], $2::float8[]) AS f (item_key, pair_floor)
    JOIN item_stats AS s USING (item_key)
    WHERE s.pair_floor <> f.pair_floor
    FOR UPDATE OF s SKIP LOCKED
)
UPDATE item_stats SET pair_floor = free.pair_floor FROM free WHERE item_stats.ctid = free.ctid;
