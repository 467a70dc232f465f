-- The purchases of an order, which a refund takes back.
-- depends: 0151.conversions

-- Only purchases that name an order are in it, so that other events cost nothing. An order's id may be as long as a
-- context: an index takes no value of any length.
CREATE INDEX events_orders ON events (user_id, left(payload -> 'context' ->> 'order_id', 128))
WHERE event_type = 'purchase' AND left(payload -> 'context' ->> 'order_id', 128) IS NOT NULL;
