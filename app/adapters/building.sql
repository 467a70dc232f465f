-- name: publications
SELECT DISTINCT pubname FROM pg_publication_tables
WHERE (schemaname, tablename) IN (
    SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid IN ('item_stats'::regclass, 'user_history'::regclass, 'item_pairs'::regclass)
)
ORDER BY pubname;

-- name: indexes_of
-- The statements that give a copy of the table its keys and indexes, under the same names.
SELECT format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', $2::text, r.relname, k.conname, pg_get_constraintdef(k.oid))
FROM pg_constraint AS k
JOIN pg_class AS r ON r.oid = k.conrelid
WHERE k.conrelid = $1::text::regclass AND k.contype IN ('p', 'u')
UNION ALL
SELECT replace(
    pg_get_indexdef(i.indexrelid), format(' ON %I.%I ', n.nspname, r.relname), format(' ON %I.%I ', $2::text, r.relname)
)
FROM pg_index AS i
JOIN pg_class AS r ON r.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = r.relnamespace
WHERE
    i.indrelid = $1::text::regclass
    AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u'));

-- name: index_places_of
-- The statements that put the indexes of a copy into the tablespaces of those of the table.
SELECT format('ALTER INDEX %I.%I SET TABLESPACE %I', $2::text, r.relname, t.spcname)
FROM pg_index AS i
JOIN pg_class AS r ON r.oid = i.indexrelid
JOIN pg_tablespace AS t ON t.oid = r.reltablespace
WHERE i.indrelid = $1::text::regclass;

-- name: closed_tablespaces
-- Those of the tables and their indexes in which this user may not create any.
SELECT DISTINCT t.spcname
FROM unnest(ARRAY['item_stats'::regclass, 'user_history'::regclass, 'item_pairs'::regclass]) AS o (relation)
CROSS JOIN LATERAL (
    SELECT o.relation AS oid UNION ALL SELECT i.indexrelid FROM pg_index AS i WHERE i.indrelid = o.relation
) AS found
JOIN pg_class AS c ON c.oid = found.oid
JOIN pg_tablespace AS t ON t.oid = c.reltablespace
WHERE NOT has_tablespace_privilege(t.oid, 'CREATE')
ORDER BY t.spcname;

-- name: settings_of
-- The statements that give a copy of the table its tablespace, storage parameters and owner: LIKE leaves those out.
SELECT format('ALTER TABLE %I.%I SET TABLESPACE %I', $2::text, r.relname, t.spcname)
FROM pg_class AS r
JOIN pg_tablespace AS t ON t.oid = r.reltablespace
WHERE r.oid = $1::text::regclass
UNION ALL
SELECT format('ALTER TABLE %I.%I SET (toast.%s)', $2::text, r.relname, array_to_string(t.reloptions, ', toast.'))
FROM pg_class AS r
JOIN pg_class AS t ON t.oid = r.reltoastrelid
WHERE r.oid = $1::text::regclass AND t.reloptions IS NOT NULL
UNION ALL
SELECT format('ALTER TABLE %I.%I SET (%s)', $2::text, r.relname, array_to_string(r.reloptions, ', '))
FROM pg_class AS r
WHERE r.oid = $1::text::regclass AND r.reloptions IS NOT NULL
UNION ALL
SELECT format('ALTER TABLE %I.%I OWNER TO %I', $2::text, r.relname, pg_get_userbyid(r.relowner))
FROM pg_class AS r
WHERE r.oid = $1::text::regclass AND pg_get_userbyid(r.relowner) <> current_user;

-- name: privileges_of
-- The statements that take from a copy of the table, and from the sequence of its keys, what others than the owner have
-- on them, and give it the privileges of the original. Default privileges may have given some to the copy, and others
-- may have been granted and revoked since it was made.
WITH tables AS (
    SELECT $1::text::regclass AS oid, FALSE AS is_copy
    UNION ALL
    SELECT format('%I.%I', $2::text, relname)::regclass, TRUE FROM pg_class WHERE oid = $1::text::regclass
),
relations AS (
    SELECT
        r.oid, r.relname, r.relowner, r.relacl, t.is_copy, CASE r.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE '' END AS kind
    FROM tables AS t
    JOIN pg_class AS r ON
        r.oid = t.oid
        OR (
            r.relkind = 'S'
            AND r.oid IN (
                SELECT d.objid FROM pg_depend AS d
                WHERE d.classid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.deptype = 'i'
            )
        )
)
SELECT format(
    '%s %s ON %s%I.%I %s %s %s',
    CASE WHEN r.is_copy THEN 'REVOKE' ELSE 'GRANT' END,
    a.privilege_type, r.kind, $2::text, r.relname,
    CASE WHEN r.is_copy THEN 'FROM' ELSE 'TO' END,
    CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
    CASE WHEN r.is_copy THEN 'CASCADE' WHEN a.is_grantable THEN 'WITH GRANT OPTION' ELSE '' END
)
FROM relations AS r
CROSS JOIN LATERAL (
    SELECT privilege_type, grantee, is_grantable FROM aclexplode(r.relacl)
    UNION ALL
    SELECT format('%s (%I)', of_column.privilege_type, c.attname), of_column.grantee, of_column.is_grantable
    FROM pg_attribute AS c
    CROSS JOIN LATERAL aclexplode(c.attacl) AS of_column
    WHERE c.attrelid = r.oid AND NOT c.attisdropped
) AS a
WHERE a.grantee <> r.relowner
ORDER BY r.is_copy DESC;

-- name: owner
SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = 'item_stats'::regclass;

-- name: make_tables
-- The schema is the owner's, also where a superuser rebuilds: erasures of the service look into it as the owner.
CREATE SCHEMA reco_building AUTHORIZATION {owner};
CREATE TABLE reco_building.item_stats (LIKE item_stats INCLUDING ALL EXCLUDING INDEXES);
CREATE TABLE reco_building.user_history (LIKE user_history INCLUDING ALL EXCLUDING INDEXES);
CREATE TABLE reco_building.item_pairs (LIKE item_pairs INCLUDING ALL EXCLUDING INDEXES);
-- What the slices add to pairs, until all of it is added up (`app.adapters.pair_blocks`). Compression costs more than
-- it saves.
CREATE TABLE reco_building.pair_blocks (part integer NOT NULL, pairs bytea STORAGE EXTERNAL NOT NULL);
CREATE INDEX ON reco_building.pair_blocks (part);
-- How far each slice of the users is: rows of the files, and events received before a time.
CREATE TABLE reco_building.slices (
    slice        integer PRIMARY KEY,
    file_rows    bigint NOT NULL DEFAULT 0,
    files_done   boolean NOT NULL DEFAULT FALSE,
    events_until timestamptz NOT NULL,
    events_done  boolean NOT NULL DEFAULT FALSE,
    events       bigint NOT NULL DEFAULT 0,
    rejected     bigint NOT NULL DEFAULT 0,
    first_rejected text
);

-- The rows of the files that were folded: a file may hold one twice, and two files the same one.
CREATE TABLE reco_building.file_events (event_id text PRIMARY KEY);

-- What the Spark engine has made of the files, as far as it is loaded.
CREATE TABLE reco_building.loaded_parts (part text PRIMARY KEY);

-- Cancellations of events that were not stored any more when the rebuild was begun.
CREATE TABLE reco_building.lone_cancels (event_id text PRIMARY KEY, cancels text);

-- name: loaded_parts
SELECT part FROM reco_building.loaded_parts;

-- name: add_loaded_part
INSERT INTO reco_building.loaded_parts (part) VALUES ($1);

-- name: take_file_events
INSERT INTO reco_building.file_events (event_id)
SELECT * FROM unnest($1::text[]) AS e (event_id) ORDER BY event_id
ON CONFLICT DO NOTHING
RETURNING event_id;

-- name: make_slices
INSERT INTO reco_building.slices (slice, events_until)
SELECT number, $2 FROM generate_series(0, $1::integer - 1) AS s (number);

-- name: copy_keys
-- Items keep their keys: what processes remember of them stays right.
INSERT INTO reco_building.item_stats (item_key, item_id, created_at)
SELECT item_key, item_id, created_at FROM item_stats ORDER BY item_key;

-- name: slices
SELECT slice, file_rows, files_done, events_until, events_done, events, rejected, first_rejected
FROM reco_building.slices ORDER BY slice;

-- name: complete
-- A rebuild that an earlier release began. As in `make_tables` the schema is the owner's.
ALTER SCHEMA reco_building OWNER TO {owner};
ALTER TABLE reco_building.slices
    ADD COLUMN IF NOT EXISTS rejected bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS first_rejected text;
CREATE TABLE IF NOT EXISTS reco_building.lone_cancels (event_id text PRIMARY KEY, cancels text);

-- name: advance_files
-- No row: another process is further.
UPDATE reco_building.slices
SET
    file_rows = $3, files_done = $4, events = events + $5,
    rejected = rejected + $6, first_rejected = coalesce(first_rejected, $7)
WHERE slice = $1 AND file_rows = $2 AND NOT files_done
RETURNING slice;

-- name: advance_events
UPDATE reco_building.slices SET events_until = $3, events_done = $4, events = events + $5
WHERE slice = $1 AND events_until = $2 AND NOT events_done
RETURNING slice;

-- name: analyze
ANALYZE reco_building.item_stats, reco_building.user_history, reco_building.item_pairs;

-- name: counted_in
-- Events that the sums hold by type, impressions left out: those are counted once an item.
SELECT
    coalesce(sum(views), 0)::bigint, coalesce(sum(clicks), 0)::bigint, coalesce(sum(purchases), 0)::bigint,
    coalesce(sum(watches), 0)::bigint, coalesce(sum(other_events), 0)::bigint
FROM item_stats;

-- name: erased_since
-- Users who were erased after that number of an erasure.
SELECT user_id FROM user_erasures WHERE number > $1 ORDER BY user_id;

-- name: await_erasures
LOCK TABLE user_erasures IN SHARE MODE;

-- name: last_erasure
SELECT coalesce(max(number), 0) FROM user_erasures;

-- name: swap_tables
CREATE SCHEMA reco_retired AUTHORIZATION {owner};
ALTER TABLE {live}.item_stats SET SCHEMA reco_retired;
ALTER TABLE {live}.user_history SET SCHEMA reco_retired;
ALTER TABLE {live}.item_pairs SET SCHEMA reco_retired;
ALTER TABLE reco_building.item_stats SET SCHEMA {live};
ALTER TABLE reco_building.user_history SET SCHEMA {live};
ALTER TABLE reco_building.item_pairs SET SCHEMA {live};

-- name: copy_new_items
INSERT INTO reco_building.item_stats (item_key, item_id, created_at)
SELECT item_key, item_id, created_at FROM item_stats AS s
WHERE NOT EXISTS (SELECT FROM reco_building.item_stats AS b WHERE b.item_key = s.item_key)
ORDER BY item_key;

-- name: copy_sequence
SELECT setval('reco_building.item_stats_item_key_seq', last_value, is_called) FROM item_stats_item_key_seq;

-- name: schemas
SELECT nspname::text FROM pg_namespace WHERE nspname IN ('reco_building', 'reco_retired') ORDER BY nspname;

-- name: let_none_begin
LOCK TABLE feature_generations IN SHARE MODE;

-- name: drop_retired
DROP SCHEMA IF EXISTS reco_retired CASCADE;

-- name: drop_building
DROP SCHEMA IF EXISTS reco_building CASCADE;
