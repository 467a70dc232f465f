-- name: take
-- No row: another process walks. $2: how many seconds lie between the beginnings of two walks.
SELECT position, position > 0 OR began_at <= now() - make_interval(secs => $2) AS due
FROM table_walks WHERE walk = $1
FOR UPDATE SKIP LOCKED;

-- name: advance
-- $3: the walk began at this step.
UPDATE table_walks SET position = $2, began_at = CASE WHEN $3 THEN now() ELSE began_at END WHERE walk = $1;

-- name: blocks_of
SELECT pg_relation_size($1::text::regclass) / current_setting('block_size')::bigint;
