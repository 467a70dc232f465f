-- name: read_messages
SELECT event_id, payload::text FROM events WHERE event_id = ANY ($1::text[]);

-- name: read_orders
-- $3: at most so many of each order.
SELECT o.user_id, o.order_id, e.payload::text, c.cancelled_by
FROM unnest(string_to_array($1, chr(31), ''), string_to_array($2, chr(31), '')) AS o (user_id, order_id)
CROSS JOIN LATERAL (
    SELECT event_id, payload
    FROM events
    WHERE
        event_type = 'purchase' AND user_id = o.user_id
        AND left(payload -> 'context' ->> 'order_id', 128) = o.order_id
    ORDER BY event_id
    LIMIT $3
) AS e
LEFT JOIN LATERAL (
    SELECT coalesce(payload -> 'context' ->> 'message_id', '') AS cancelled_by
    FROM events
    WHERE event_type = 'cancel' AND payload ->> 'cancels' = e.event_id
    LIMIT 1
) AS c ON TRUE
ORDER BY e.event_id;
