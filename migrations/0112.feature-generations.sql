-- Stored sums have a generation: the parameters that they were made with. `reco rebuild` makes another one beside the one
-- that serves, and swaps the tables.
-- depends: 0110.learned-ranking

CREATE TABLE feature_generations (
    generation integer PRIMARY KEY,
    state      text NOT NULL CHECK (state IN ('building', 'serving', 'retired')),
    parameters jsonb NOT NULL,
    progress   jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    swapped_at timestamptz
);

-- One is served, and one at most is being built.
CREATE UNIQUE INDEX feature_generations_state ON feature_generations (state) WHERE state <> 'retired';

-- Whoever counts holds this lock from before the stamp of its dedupe rows until its commit. So a rebuild that has had the
-- lock alone at some time knows which events were counted before it: those with an earlier stamp, all of them committed.
-- A trigger and a default, so that the release before, which counts during a rolling upgrade, does so too.
CREATE FUNCTION hold_counting_lock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7236352);
    RETURN NULL;
END
$$;

CREATE TRIGGER event_counted BEFORE INSERT ON feature_event_consumed
    FOR EACH STATEMENT EXECUTE FUNCTION hold_counting_lock();

ALTER TABLE feature_event_consumed ALTER COLUMN consumed_at SET DEFAULT clock_timestamp();

-- What an unfinished rebuild holds of a user. The schema belongs to whoever rebuilds.
CREATE FUNCTION erase_in_building(erased text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF to_regclass('reco_building.user_history') IS NOT NULL THEN
        EXECUTE 'DELETE FROM reco_building.user_history WHERE user_id = $1' USING erased;
    END IF;
END
$$;
