-- name: live_schema
SELECT quote_ident(n.nspname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = 'item_stats'::regclass;

-- name: shape
-- What the tables of a schema consist of and are made with, a row a part, to compare those that are being built with
-- those that serve. A key is an index.
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
SELECT
    t.relname, CASE k.contype WHEN 'c' THEN 'constraint' ELSE 'index' END, k.conname,
    -- LIKE makes the copy of a check valid, whether or not that of the old table was.
    replace(pg_get_constraintdef(k.oid), ' NOT VALID', '')
FROM tables AS t
JOIN pg_constraint AS k ON k.conrelid = t.oid AND k.contype IN ('c', 'p', 'u')
UNION ALL
SELECT
    t.relname, 'index', r.relname,
    replace(pg_get_indexdef(r.oid), format(' ON %s.%I ', $1::text, t.relname), format(' ON %I ', t.relname))
FROM tables AS t
JOIN pg_index AS i ON i.indrelid = t.oid
JOIN pg_class AS r ON r.oid = i.indexrelid
UNION ALL
SELECT t.relname, 'owner', '', pg_get_userbyid(c.relowner)
FROM tables AS t
JOIN pg_class AS c ON c.oid = t.oid
UNION ALL
SELECT t.relname, 'storage parameters', CASE WHEN c.oid = t.oid THEN '' ELSE 'for TOAST' END, o.options
FROM tables AS t
JOIN pg_class AS s ON s.oid = t.oid
JOIN pg_class AS c ON c.oid IN (s.oid, s.reltoastrelid)
CROSS JOIN LATERAL (
    SELECT string_agg(option, ', ' ORDER BY option) AS options FROM unnest(c.reloptions) AS u (option)
) AS o;

-- name: dependents
-- Views, triggers, foreign keys and functions of others that go with the tables that serve when those are dropped, and
-- that their copies do not have. None is of the service.
WITH tables AS (
    SELECT oid, reltype FROM pg_class
    WHERE oid IN ('item_stats'::regclass, 'user_history'::regclass, 'item_pairs'::regclass)
),
found AS (
    SELECT 'pg_class'::regclass AS class, r.ev_class AS oid
    FROM pg_depend AS d
    JOIN pg_rewrite AS r ON r.oid = d.objid
    WHERE
        d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
        AND d.refobjid IN (SELECT oid FROM tables) AND r.ev_class NOT IN (SELECT oid FROM tables)
    UNION
    SELECT 'pg_proc'::regclass, d.objid
    FROM pg_depend AS d
    WHERE
        d.classid = 'pg_proc'::regclass
        AND (
            (d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT oid FROM tables))
            OR (d.refclassid = 'pg_type'::regclass AND d.refobjid IN (SELECT reltype FROM tables))
        )
    UNION
    SELECT 'pg_trigger'::regclass, t.oid
    FROM pg_trigger AS t
    WHERE t.tgrelid IN (SELECT oid FROM tables) AND NOT t.tgisinternal
    UNION
    SELECT 'pg_constraint'::regclass, k.oid
    FROM pg_constraint AS k
    WHERE k.contype = 'f' AND (SELECT array_agg(oid) FROM tables) && ARRAY[k.conrelid, k.confrelid]
)
SELECT pg_describe_object(class, oid, 0) FROM found ORDER BY 1;
