-- name: read_cards
SELECT
    item_id, title, categories, hidden,
    (extract(EPOCH FROM published_at) * 1000)::bigint AS published_ms,
    (extract(EPOCH FROM expires_at) * 1000)::bigint AS expires_ms
FROM items
WHERE item_id = ANY ($1::text[]);
