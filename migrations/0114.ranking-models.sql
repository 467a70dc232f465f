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

-- What a new database begins with, and what it goes back to should that rank worse: constants of the release
-- (`app/core/weights.py`: START and FIXED).
INSERT INTO ranking_models (weights, origin, reason, served_at)
VALUES
(
    '{
        "popular_hours": [0, 0, 0, 0],
        "popular_day": [0, 0, 0, 0],
        "popular_week": [0.3, 0.3, 0.3, 0.3],
        "frequency": [0, 0, 0, 0],
        "age": [0, 0, 0, 0],
        "newness": [0, 0, 0, 0],
        "similar": [1, 1, 1, 1],
        "similar_last": [0, 0, 0, 0],
        "lasting": [0, 0, 0, 0],
        "following": [0, 0, 0, 0],
        "own": [-3, -3, -3, -3],
        "own_times": [0, 0, 0, 0],
        "own_age": [0, 0, 0, 0],
        "own_repeats": [1.5, 1.5, 1.5, 1.5],
        "absence": [0.2, 0.2, 0.2, 0.2]
    }',
    'start',
    'constants that rank by similarity and popularity',
    now()
),
(
    '{
        "popular_hours": [0.49, 0.36, 0.33, 0.36],
        "popular_day": [0.11, -0.02, -0.05, -0.05],
        "popular_week": [0.36, 0.32, 0.23, 0.2],
        "frequency": [0.02, 0.05, -0.04, -0.08],
        "age": [-0.38, -0.28, -0.34, -0.27],
        "newness": [0.15, 0.17, 0.18, 0.08],
        "similar": [0.99, 1, 0.97, 0.94],
        "similar_last": [0.11, 0.08, 0.14, 0.01],
        "lasting": [0.23, 0.18, 0.15, 0.16],
        "following": [0.32, 0.17, 0.34, 0.31],
        "own": [-2.33, -2.32, -2.96, -2.97],
        "own_times": [0.25, 0.37, -0.26, -0.39],
        "own_age": [-0.06, 0.19, -0.21, -0.32],
        "own_repeats": [1.16, 1.18, 1.19, 1.16],
        "absence": [0.48, 0.54, 0.46, 0.49]
    }',
    'start',
    'the mean of what several logs taught',
    now()
);

INSERT INTO ranking_choice (version, reason) SELECT version, reason FROM ranking_models ORDER BY version DESC LIMIT 1;

INSERT INTO ranking_learner (single) VALUES (TRUE);
