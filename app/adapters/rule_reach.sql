-- name: reach
-- $1 to $4: the item, category and tag that a rule names, and the category that it acts within; NULL for none.
SELECT
    (
        SELECT count(*) FROM items
        WHERE
            ($1::text IS NULL OR item_id = $1)
            AND ($2::text IS NULL OR categories @> ARRAY[$2::text])
            AND ($3::text IS NULL OR tags @> ARRAY[$3::text])
            AND ($4::text IS NULL OR categories @> ARRAY[$4::text])
    ) AS touched,
    EXISTS (SELECT 1 FROM items WHERE item_id = $1) AS in_catalogue,
    EXISTS (SELECT 1 FROM item_stats WHERE item_id = $1) AS has_events,
    EXISTS (SELECT 1 FROM items WHERE categories @> ARRAY[$2::text]) AS category,
    EXISTS (SELECT 1 FROM items WHERE tags @> ARRAY[$3::text]) AS tag,
    EXISTS (SELECT 1 FROM items WHERE categories @> ARRAY[$4::text]) AS within;
