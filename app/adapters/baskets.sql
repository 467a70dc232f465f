-- name: read
-- The baskets of the item's latest $2 purchases, and in how many of them each other item is. $3: how far the purchases
-- of a basket are apart at most, in milliseconds. Purchases that were taken back are in no basket. $5: how many purchases
-- of one user count at most, the latest; $6: among how many purchases they are looked for.
WITH latest AS (
    SELECT user_id, session_id, ts_ms, event_id, received_at FROM events
    WHERE event_type = 'purchase' AND payload ->> 'item_id' = $1::text
    ORDER BY received_at DESC
    LIMIT $6
),

of_users AS (
    SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY received_at DESC) AS place FROM latest
),

bought AS MATERIALIZED (
    SELECT user_id, session_id, ts_ms FROM of_users
    WHERE place <= $5
        AND NOT EXISTS (
            SELECT FROM events AS c WHERE c.event_type = 'cancel' AND c.payload ->> 'cancels' = of_users.event_id
        )
    ORDER BY received_at DESC
    LIMIT $2
)

SELECT
    (SELECT count(DISTINCT (user_id, session_id)) FROM bought) AS baskets,
    array_agg(item_id ORDER BY shared DESC, item_id) AS item_ids,
    array_agg(shared ORDER BY shared DESC, item_id) AS shared
FROM (
    SELECT e.payload ->> 'item_id' AS item_id, count(DISTINCT (b.user_id, b.session_id)) AS shared
    FROM bought AS b
    JOIN events AS e
        ON
            e.user_id = b.user_id AND e.session_id = b.session_id AND e.event_type = 'purchase'
            AND abs(e.ts_ms - b.ts_ms) <= $3
    WHERE e.payload ->> 'item_id' <> $1
        AND NOT EXISTS (
            SELECT FROM events AS c WHERE c.event_type = 'cancel' AND c.payload ->> 'cancels' = e.event_id
        )
    GROUP BY 1
    ORDER BY 2 DESC, 1
    LIMIT $4
) AS most;
