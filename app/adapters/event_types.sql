-- name: read_all
-- $1: the most names there are.
SELECT name, number, weight, meaning, pairs, ends_offer, rating_worst, rating_best, deleted, updated_at
FROM event_types
ORDER BY name COLLATE "C"
LIMIT $1;

-- name: lock
LOCK TABLE event_types IN SHARE ROW EXCLUSIVE MODE;

-- name: store
-- No row when $9 others are in use, or $10 names were used. $2: the number of a type that is ready to use, or null.
-- $11: the first number of others.
INSERT INTO event_types AS t (name, number, weight, meaning, pairs, ends_offer, rating_worst, rating_best, deleted)
SELECT
    $1::text,
    coalesce(
        $2::integer,
        (SELECT other.number FROM event_types AS other WHERE other.name = $1),
        (SELECT greatest(max(other.number) + 1, $11::integer) FROM event_types AS other)
    ),
    $3::float8, $4::text, $5::boolean, $6::boolean, $7::float8, $8::float8, FALSE
WHERE
    (SELECT count(*) FROM event_types AS other WHERE other.name <> $1 AND NOT other.deleted) < $9
    AND (SELECT count(*) FROM event_types AS other WHERE other.name <> $1) < $10
ON CONFLICT (name) DO UPDATE SET
    weight = excluded.weight,
    meaning = excluded.meaning,
    pairs = excluded.pairs,
    ends_offer = excluded.ends_offer,
    rating_worst = excluded.rating_worst,
    rating_best = excluded.rating_best,
    deleted = FALSE,
    updated_at = now()
RETURNING number, (SELECT before.deleted FROM event_types AS before WHERE before.name = $1) IS NOT FALSE AS created;

-- name: delete
UPDATE event_types SET deleted = TRUE, updated_at = now() WHERE name = $1 AND NOT deleted RETURNING name;
