-- The last errors of a row that failed, as a JSON array of {at, process, replays, error}; NULL where nothing failed since.
-- A replayed dead letter is known by the outbox row that carries it.
-- depends: 0151.conversions

ALTER TABLE event_outbox
    ADD COLUMN errors jsonb,
    ADD COLUMN letter_id bigint;

ALTER TABLE feature_consumer_dlq ADD COLUMN errors jsonb;
