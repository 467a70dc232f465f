-- name: read_all
SELECT
    rule_id, action, item_id, category, tag, position, factor, within, starts_at, ends_at, note, updated_at
FROM serving_rules
ORDER BY rule_id COLLATE "C"
LIMIT $1;

-- name: read
SELECT
    rule_id, action, item_id, category, tag, position, factor, within, starts_at, ends_at, note, updated_at
FROM serving_rules
WHERE rule_id = $1;

-- name: lock
LOCK TABLE serving_rules IN SHARE ROW EXCLUSIVE MODE;

-- name: store
-- No row when there are $12 others already. xmax is 0 for a row that is new.
INSERT INTO serving_rules AS r (
    rule_id, action, item_id, category, tag, position, factor, within, starts_at, ends_at, note
)
SELECT
    $1::text, $2::text, $3::text, $4::text, $5::text, $6::integer, $7::float8, $8::text, $9::timestamptz,
    $10::timestamptz, $11::text
WHERE (SELECT count(*) FROM serving_rules AS other WHERE other.rule_id <> $1) < $12
ON CONFLICT (rule_id) DO UPDATE SET
    action = excluded.action,
    item_id = excluded.item_id,
    category = excluded.category,
    tag = excluded.tag,
    position = excluded.position,
    factor = excluded.factor,
    within = excluded.within,
    starts_at = excluded.starts_at,
    ends_at = excluded.ends_at,
    note = excluded.note,
    updated_at = now()
RETURNING
    rule_id, action, item_id, category, tag, position, factor, within, starts_at, ends_at, note, updated_at,
    (r.xmax = 0) AS created;

-- name: delete
DELETE FROM serving_rules WHERE rule_id = $1 RETURNING rule_id;
