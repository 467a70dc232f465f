-- Replays: a message as it came (its bytes need not be text), and outbox rows that somebody has given up.
-- depends: 0020.pipeline

ALTER TABLE event_outbox
    ADD COLUMN raw bytea,
    ADD COLUMN resolved_at timestamptz,
    ADD COLUMN resolved_by text,
    ADD COLUMN resolution text,
    DROP CONSTRAINT event_outbox_status_check,
    ADD CONSTRAINT event_outbox_status_check CHECK (status IN ('pending', 'dead', 'discarded'));
