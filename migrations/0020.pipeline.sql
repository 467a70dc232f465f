-- What the relay and the consumer look for at any size of their tables, and histories that the cache still owes.
-- depends: 0002.features

CREATE INDEX event_outbox_dead ON event_outbox (id) WHERE status = 'dead';

CREATE INDEX feature_consumer_dlq_status ON feature_consumer_dlq (status, id);
DROP INDEX feature_consumer_dlq_pending;

CREATE TABLE stale_history (
    user_id text PRIMARY KEY
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000
);
