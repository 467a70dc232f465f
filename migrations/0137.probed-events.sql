-- Postgres counts rows that were inserted and rolled back, as a readiness probe does. Each probe inserts a row here as
-- well, so that they can be told from accepted events. Always empty.
-- depends: 0136.user-links

CREATE TABLE probed_events (
    probed_at timestamptz NOT NULL DEFAULT now()
);
