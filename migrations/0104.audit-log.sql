-- Who changed what: erasures, rules and the catalogue, in the transaction of the change; and refused keys, summed up.
-- depends: 0101.uncounted-events

-- `actor`: an API key by its name, or a command; NULL where nobody was asked for a key, or an unknown one was given.
-- No key and no constraint: a change must not fail for its record.
CREATE TABLE audit_log (
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor       text,
    action      text NOT NULL,
    targets     text[] NOT NULL,
    outcome     text NOT NULL,
    count       integer NOT NULL,
    request_id  text
);

CREATE INDEX audit_log_recorded_at ON audit_log (recorded_at);
