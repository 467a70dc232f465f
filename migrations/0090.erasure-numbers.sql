-- Erasures are numbered, and each row keeps the number of erasures at its insert: that, and no clock, says whether an
-- erasure came before or after what was received of its user.
-- depends: 0081.drop-items-came

-- From 1 on, so that 0 stands for "before any erasure".
CREATE SEQUENCE erasure_numbers AS integer MINVALUE 0 START 0;
DO $$ BEGIN PERFORM setval('erasure_numbers', 0); END $$;

-- NULL: inserted by a release that did not write it. Compared by time, as that release did.
ALTER TABLE events ADD COLUMN erasures integer;
ALTER TABLE event_outbox ADD COLUMN erasures integer;
ALTER TABLE feature_consumer_dlq ADD COLUMN erasures integer;

-- `unfinished`: rows of before the erasure may still be stored.
ALTER TABLE user_erasures
    ADD COLUMN number integer NOT NULL DEFAULT 0,
    ADD COLUMN unfinished boolean NOT NULL DEFAULT FALSE;

-- A default and a trigger, so that an erasure by the release before, which sets only the time, is numbered too.
ALTER TABLE user_erasures ALTER COLUMN number SET DEFAULT nextval('erasure_numbers');

CREATE FUNCTION number_erasure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.number := nextval('erasure_numbers');
    RETURN NEW;
END
$$;

CREATE TRIGGER user_erased_again BEFORE UPDATE OF erased_at ON user_erasures
    FOR EACH ROW EXECUTE FUNCTION number_erasure();

CREATE INDEX user_erasures_unfinished ON user_erasures (erased_at) WHERE unfinished;
