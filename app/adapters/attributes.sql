-- name: lock
LOCK TABLE item_attributes IN SHARE ROW EXCLUSIVE MODE;

-- name: read_all
SELECT name, type, created_at FROM item_attributes ORDER BY name;

-- name: declare
INSERT INTO item_attributes (name, type) VALUES ($1, $2) RETURNING name, type, created_at;

-- name: delete
DELETE FROM item_attributes WHERE name = $1 RETURNING name;
