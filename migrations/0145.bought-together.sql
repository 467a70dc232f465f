-- Purchases by item, and by the visit that they were made in: what is bought together.
-- depends: 0138.item-attributes

-- Only purchases are in them, so that other events cost nothing.
CREATE INDEX events_bought ON events ((payload ->> 'item_id'), received_at) WHERE event_type = 'purchase';
CREATE INDEX events_baskets ON events (user_id, session_id) WHERE event_type = 'purchase';
