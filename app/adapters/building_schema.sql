-- name: live_schema
SELECT quote_ident(n.nspname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = 'item_stats'::regclass;

-- name: shape
-- What the tables of a schema consist of, a row a part, to compare those that are being built with those that serve. A
-- key is an index.
WITH tables AS (
    SELECT oid, relname FROM pg_class
    WHERE relnamespace = $1::text::regnamespace AND relname IN ('item_stats', 'user_history', 'item_pairs')
)
SELECT
    t.relname, 'column', a.attname,
    concat_ws(
        ' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END, a.attidentity,
        a.attgenerated, pg_get_expr(d.adbin, d.adrelid)
    )
FROM tables AS t
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
UNION ALL
SELECT t.relname, CASE k.contype WHEN 'c' THEN 'constraint' ELSE 'index' END, k.conname, pg_get_constraintdef(k.oid)
FROM tables AS t
JOIN pg_constraint AS k ON k.conrelid = t.oid AND k.contype IN ('c', 'p', 'u')
UNION ALL
SELECT
    t.relname, 'index', r.relname,
    replace(pg_get_indexdef(r.oid), format(' ON %s.%I ', $1::text, t.relname), format(' ON %I ', t.relname))
FROM tables AS t
JOIN pg_index AS i ON i.indrelid = t.oid
JOIN pg_class AS r ON r.oid = i.indexrelid;
