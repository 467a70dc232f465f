-- B-trees find rows by their time. A BRIN index keeps the bounds of all rows that a block range ever held: once new rows
-- take the place of deleted ones, each range may hold any time, and every look for expired rows reads the whole table.
-- transactional: false
-- depends: 0160.experiment-names

-- Built while the service runs. What an interrupted attempt has left goes first.
DROP INDEX CONCURRENTLY IF EXISTS events_received;
CREATE INDEX CONCURRENTLY events_received ON events (received_at);
DROP INDEX CONCURRENTLY IF EXISTS events_received_at;

DROP INDEX CONCURRENTLY IF EXISTS feature_event_consumed_time;
CREATE INDEX CONCURRENTLY feature_event_consumed_time ON feature_event_consumed (consumed_at);
DROP INDEX CONCURRENTLY IF EXISTS feature_event_consumed_at;

DROP INDEX CONCURRENTLY IF EXISTS sessions_created;
CREATE INDEX CONCURRENTLY sessions_created ON sessions (created_at);
DROP INDEX CONCURRENTLY IF EXISTS sessions_created_at;

-- A look for the oldest rows passes over the entries of those that were deleted since the last vacuum: a fiftieth of the
-- table, and not a fifth.
ALTER TABLE events SET (autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE feature_event_consumed SET (autovacuum_vacuum_scale_factor = 0.02);

-- An erasure removes the sessions of its user.
DROP INDEX CONCURRENTLY IF EXISTS sessions_user_id;
CREATE INDEX CONCURRENTLY sessions_user_id ON sessions (user_id);
