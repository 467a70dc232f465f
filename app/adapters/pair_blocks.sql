-- name: put
INSERT INTO pair_blocks (part, pairs) VALUES ($1, $2);

-- name: take
DELETE FROM pair_blocks WHERE part = $1 RETURNING pairs;
