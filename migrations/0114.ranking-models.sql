-- The versions of the ranking's weights, which of them serves, and the state of the learner.
-- depends: 0110.learned-ranking

-- `weights`: feature → a number for each of the four sizes of history; features are named, so that a release with more
-- of them reads the rows of one with fewer. `served_at`: when it last began to serve. `withdrawn_at`: when it was rolled
-- back; a rollback never goes to such a version.
CREATE TABLE ranking_models (
    version      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at   timestamptz NOT NULL DEFAULT now(),
    weights      jsonb NOT NULL,
    origin       text NOT NULL CHECK (origin IN ('start', 'learned', 'imported')),
    reason       text NOT NULL,
    figures      jsonb NOT NULL DEFAULT '{}',
    served_at    timestamptz,
    withdrawn_at timestamptz
);

CREATE TABLE ranking_choice (
    single     boolean PRIMARY KEY DEFAULT TRUE CHECK (single),
    version    integer NOT NULL REFERENCES ranking_models,
    pinned     boolean NOT NULL DEFAULT FALSE,
    reason     text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- `restarts` counts how often an operator made the learner start anew, from the weights of `start_from` if there is one.
-- A learner that knows an older number writes nothing. `state` is MessagePack, `report` is JSON for who asks.
CREATE TABLE ranking_learner (
    single     boolean PRIMARY KEY DEFAULT TRUE CHECK (single),
    restarts   integer NOT NULL DEFAULT 0,
    start_from integer REFERENCES ranking_models ON DELETE SET NULL,
    state      bytea,
    report     bytea,
    updated_at timestamptz
);

-- What a new database begins with: the constants of the release (FIXED in `app/core/weights.py`).
INSERT INTO ranking_models (weights, origin, reason, served_at)
VALUES (
    '{
        "popular_hours": [0.1, 0.1, 0.1, 0.1],
        "popular_day": [0, 0, 0, 0],
        "popular_week": [0.3, 0.3, 0.3, 0.3],
        "frequency": [0, 0, 0, 0],
        "age": [0, 0, 0, 0],
        "newness": [0, 0, 0, 0],
        "similar": [1, 1, 1, 1],
        "similar_last": [0, 0, 0, 0],
        "lasting": [0.2, 0.2, 0.2, 0.2],
        "following": [0.4, 0.4, 0.4, 0.4],
        "own": [-2.5, -2.5, -2.5, -2.5],
        "own_times": [0, 0, 0, 0],
        "own_age": [0, 0, 0, 0],
        "own_repeats": [1.75, 1.75, 1.75, 1.75],
        "absence": [0.2, 0.2, 0.2, 0.2]
    }',
    'start',
    'the constants that a new database begins with',
    now()
);

INSERT INTO ranking_choice (version, reason) SELECT version, reason FROM ranking_models;

INSERT INTO ranking_learner (single) VALUES (TRUE);
