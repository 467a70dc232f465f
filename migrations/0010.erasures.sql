-- Users who were erased: what was received of them before is not counted again, replays included.
-- depends: 0003.feature-changes

CREATE TABLE user_erasures (
    user_id   text PRIMARY KEY,
    erased_at timestamptz NOT NULL DEFAULT now()
);

-- A row that is made anew, after an erasure, must have a greater version than the one that was erased: caches compare
-- them. Versions grow by one a batch, and so never overtake the milliseconds that they start from.
ALTER TABLE user_history ALTER COLUMN version SET DEFAULT (extract(EPOCH FROM clock_timestamp()) * 1000)::bigint;
