-- name: read
-- Postgres' own statistics: what all processes did, at the price of four look-ups in memory. Probes are no events.
SELECT
    pg_stat_get_tuples_inserted('events'::regclass) - pg_stat_get_tuples_inserted('probed_events'::regclass) AS accepted,
    pg_stat_get_tuples_deleted('event_outbox'::regclass) AS published,
    pg_stat_get_tuples_inserted('feature_event_consumed'::regclass) AS counted;

-- name: begun
SELECT
    EXISTS (SELECT FROM events) AS has_events,
    EXISTS (SELECT FROM items) AS has_items,
    EXISTS (SELECT FROM user_history) AS has_histories;
