-- name: read_cards
SELECT
    item_id, title, categories, hidden,
    (extract(EPOCH FROM published_at) * 1000)::bigint AS published_ms,
    (extract(EPOCH FROM expires_at) * 1000)::bigint AS expires_ms
FROM items
WHERE item_id = ANY ($1::text[]);

-- name: store
-- In order of ids, so that two bulk writes of the same items never deadlock. xmax is 0 for a row that is new.
INSERT INTO items AS i (item_id, title, categories, tags, published_at, expires_at, hidden)
SELECT
    n.item_id, n.title, ARRAY(SELECT jsonb_array_elements_text(n.categories)),
    ARRAY(SELECT jsonb_array_elements_text(n.tags)), n.published_at, n.expires_at, n.hidden
FROM unnest(
    $1::text[], $2::text[], $3::jsonb[], $4::jsonb[], $5::timestamptz[], $6::timestamptz[], $7::boolean[]
) AS n (item_id, title, categories, tags, published_at, expires_at, hidden)
ORDER BY n.item_id
ON CONFLICT (item_id) DO UPDATE SET
    title = excluded.title,
    categories = excluded.categories,
    tags = excluded.tags,
    published_at = excluded.published_at,
    expires_at = excluded.expires_at,
    hidden = excluded.hidden,
    updated_at = now()
RETURNING (i.xmax = 0) AS created;

-- name: read
SELECT item_id, title, categories, tags, published_at, expires_at, hidden, updated_at FROM items WHERE item_id = $1;

-- name: delete
DELETE FROM items WHERE item_id = $1 RETURNING item_id;
