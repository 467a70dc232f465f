-- The second header of W3C trace context. It travels with `traceparent`: from the request to the row, to the message.
-- depends: 0129.console

ALTER TABLE event_outbox ADD COLUMN tracestate text;
