-- Maintenance looks for accepted events that were never counted; those that are known to be given up are not among them.
-- depends: 0090.erasure-numbers

CREATE INDEX event_outbox_given_up ON event_outbox (event_id) WHERE status IN ('dead', 'discarded');

CREATE INDEX feature_consumer_dlq_event_id ON feature_consumer_dlq (event_id);
