-- Event types that the application has made, or changed: what an event of each counts. A row stays when its type is
-- deleted: histories hold its number.
-- depends: 0129.console

CREATE TABLE event_types (
    name         text PRIMARY KEY,
    number       integer NOT NULL UNIQUE,
    weight       float8 NOT NULL,
    meaning      text NOT NULL CHECK (meaning IN ('interest', 'consumption', 'rejection')),
    pairs        boolean NOT NULL,
    ends_offer   boolean NOT NULL,
    rating_worst float8,
    rating_best  float8,
    deleted      boolean NOT NULL DEFAULT FALSE,
    updated_at   timestamptz NOT NULL DEFAULT now()
);
