-- Whether an event was taken back.
-- depends: 0134.event-types

-- Only cancellations are in it, so that other events cost nothing.
CREATE INDEX events_cancels ON events ((payload ->> 'cancels')) WHERE event_type = 'cancel';
