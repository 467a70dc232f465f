-- name: record
INSERT INTO rule_changes (actor, rule_id, before, after, undoes)
VALUES ($1, $2, $3::text::jsonb, $4::text::jsonb, $5)
RETURNING change_id, changed_at, actor, rule_id, before::text AS before, after::text AS after, undoes;

-- name: find
SELECT change_id, changed_at, actor, rule_id, before::text AS before, after::text AS after, undoes
FROM rule_changes
WHERE change_id = $1;

-- name: page
SELECT change_id, changed_at, actor, rule_id, before::text AS before, after::text AS after, undoes
FROM rule_changes
WHERE ($1::text IS NULL OR rule_id = $1) AND ($2::bigint IS NULL OR change_id < $2)
ORDER BY change_id DESC
LIMIT $3;
