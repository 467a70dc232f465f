-- Accepted events, the outbox on their way to Kafka, and what the consumer keeps of those it has seen.
-- depends:

CREATE TABLE events (
    event_id     text PRIMARY KEY,
    event_type   text NOT NULL,
    user_id      text NOT NULL,
    session_id   text NOT NULL,
    request_id   text,
    ts_ms        bigint NOT NULL,
    content_hash bytea NOT NULL,
    payload      jsonb NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX events_user_id ON events (user_id);
-- Rows arrive in time order, so a block range index answers "the last n days" at almost no cost to the insert.
CREATE INDEX events_received_at ON events USING brin (received_at) WITH (pages_per_range = 32, autosummarize = on);

CREATE TABLE event_outbox (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id     text NOT NULL,
    topic        text NOT NULL,
    message_key  text NOT NULL,
    payload      text NOT NULL,
    traceparent  text,
    status       text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'dead')),
    attempts     integer NOT NULL DEFAULT 0,
    replays      integer NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT now(),
    available_at timestamptz NOT NULL DEFAULT now(),
    failed_at    timestamptz,
    last_error   text
) WITH (
    -- The table empties as fast as it fills: vacuum by count, not by share of a size that swings.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX event_outbox_pending ON event_outbox (id) WHERE status = 'pending';

CREATE TABLE feature_event_consumed (
    event_id    text PRIMARY KEY,
    consumed_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX feature_event_consumed_at ON feature_event_consumed
    USING brin (consumed_at) WITH (pages_per_range = 32, autosummarize = on);

CREATE TABLE feature_consumer_dlq (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic         text NOT NULL,
    partition     integer NOT NULL,
    record_offset bigint NOT NULL,
    record_ts_ms  bigint NOT NULL,
    message_key   bytea,
    value         bytea,
    header_names  text[] NOT NULL DEFAULT '{}',
    header_values bytea[] NOT NULL DEFAULT '{}',
    event_id      text,
    traceparent   text,
    error_kind    text NOT NULL,
    error         text NOT NULL,
    attempts      integer NOT NULL,
    status        text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'replayed', 'discarded')),
    replays       integer NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now(),
    resolved_at   timestamptz,
    resolved_by   text,
    resolution    text,
    -- A record that Kafka delivers twice is dead-lettered once. The timestamp tells a recreated topic's offsets apart.
    UNIQUE (topic, partition, record_offset, record_ts_ms)
);

CREATE INDEX feature_consumer_dlq_pending ON feature_consumer_dlq (id) WHERE status = 'pending';

CREATE TABLE migration_checksum (
    migration_id text PRIMARY KEY,
    sha256       text NOT NULL,
    applied_at   timestamptz NOT NULL DEFAULT now()
);
