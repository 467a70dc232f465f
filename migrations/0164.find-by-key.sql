-- Dead letters and outbox rows are found by their user, and resolved ones by their time, however many there are.
-- transactional: false
-- depends: 0163.items-title-words

-- Built while the service runs. What an interrupted attempt has left goes first. By the beginning of a key, which holds any
-- user id: a key of Kafka may be longer than a B-tree takes. A hash index would walk all rows of a key to add one.
DROP INDEX CONCURRENTLY IF EXISTS feature_consumer_dlq_key;
CREATE INDEX CONCURRENTLY feature_consumer_dlq_key ON feature_consumer_dlq (substr(message_key, 1, 512));

-- Those whose bytes go with any erasure.
DROP INDEX CONCURRENTLY IF EXISTS feature_consumer_dlq_keyless;
CREATE INDEX CONCURRENTLY feature_consumer_dlq_keyless ON feature_consumer_dlq (id)
WHERE message_key IS NULL AND value IS NOT NULL;

DROP INDEX CONCURRENTLY IF EXISTS feature_consumer_dlq_resolved;
CREATE INDEX CONCURRENTLY feature_consumer_dlq_resolved ON feature_consumer_dlq (resolved_at)
WHERE status IN ('replayed', 'discarded');

-- Whether anybody was erased after a message without a key.
DROP INDEX CONCURRENTLY IF EXISTS user_erasures_erased_at;
CREATE INDEX CONCURRENTLY user_erasures_erased_at ON user_erasures (erased_at);

DROP INDEX CONCURRENTLY IF EXISTS event_outbox_discarded;
CREATE INDEX CONCURRENTLY event_outbox_discarded ON event_outbox (resolved_at) WHERE status = 'discarded';

DROP INDEX CONCURRENTLY IF EXISTS event_outbox_key;
CREATE INDEX CONCURRENTLY event_outbox_key ON event_outbox (left(message_key, 128));
