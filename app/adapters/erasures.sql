-- name: remember
-- The table numbers it: the column's default, and a trigger when the time changes.
INSERT INTO user_erasures (user_id, erased_at, unfinished) VALUES ($1, clock_timestamp(), TRUE)
ON CONFLICT (user_id) DO UPDATE SET erased_at = excluded.erased_at, unfinished = TRUE
RETURNING number, erased_at;

-- name: erase_history
DELETE FROM user_history WHERE user_id = $1;

-- name: newest
SELECT coalesce(pg_sequence_last_value('erasure_numbers'), 0)::integer;

-- name: last
SELECT user_id, number, (extract(EPOCH FROM erased_at) * 1000)::bigint AS erased_ms
FROM user_erasures
WHERE user_id = ANY (string_to_array($1, chr(31), ''));

-- name: writers
-- The transactions that write rows of users now. A statement locks its tables before it reads anything, so whoever may
-- have read a lower number than that of an erasure which is committed by now is among them.
SELECT DISTINCT virtualtransaction
FROM pg_locks
WHERE locktype = 'relation'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND relation IN (
        'events'::regclass, 'event_outbox'::regclass, 'feature_consumer_dlq'::regclass, 'experiment_users'::regclass
    )
    AND mode = 'RowExclusiveLock'
    AND granted
    AND pid <> pg_backend_pid();

-- name: running
-- Of these transactions, those that have not ended: each holds a lock on its own id until then.
SELECT virtualxid FROM pg_locks WHERE locktype = 'virtualxid' AND granted AND virtualxid = ANY ($1::text[]);

-- name: delete_events
-- Their dedupe rows go too: an event that is sent again after the erasure is a new one. What an older release stored
-- may be in Kafka without a number, so its dedupe rows stay.
WITH deleted AS (
    DELETE FROM events WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM events
        WHERE user_id = $1 AND (erasures < $2 OR (erasures IS NULL AND received_at <= $3))
        LIMIT $4
    ))
    RETURNING event_id, erasures
),
forgotten AS (
    DELETE FROM feature_event_consumed AS c USING deleted AS d
    WHERE c.event_id = d.event_id AND d.erasures IS NOT NULL
)
SELECT count(*) FROM deleted;

-- name: delete_queued
-- Rows that a relay holds are on their way: the consumer does not count them.
WITH deleted AS (
    DELETE FROM event_outbox WHERE id = ANY (ARRAY(
        SELECT id FROM event_outbox
        WHERE left(message_key, 128) = left($1, 128) AND message_key = $1
            AND (erasures < $2 OR (erasures IS NULL AND created_at <= $3))
        LIMIT $4
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING id
)
SELECT count(*) FROM deleted;

-- name: delete_dead_letters
WITH deleted AS (
    DELETE FROM feature_consumer_dlq WHERE id = ANY (ARRAY(
        SELECT id FROM feature_consumer_dlq
        WHERE substr(message_key, 1, 512) = substr(convert_to($1, 'UTF8'), 1, 512)
            AND message_key = convert_to($1, 'UTF8')
            AND (erasures < $2 OR (erasures IS NULL AND created_at <= $3))
        LIMIT $4
    ))
    RETURNING id
)
SELECT count(*) FROM deleted;

-- name: empty_batches
-- A batch that cannot be read, and a message that can neither be read nor has a key, may be of any user: its bytes go, and
-- the letter stays. At most $1.
WITH emptied AS (
    UPDATE feature_consumer_dlq SET value = NULL WHERE id = ANY (ARRAY(
        SELECT id FROM feature_consumer_dlq
        WHERE message_key IS NULL AND value IS NOT NULL
        ORDER BY id
        LIMIT $1
        FOR UPDATE
    ))
    RETURNING id
)
SELECT count(*) FROM emptied;

-- name: runs_of_user
SELECT run FROM experiment_users WHERE user_id = $1;

-- name: erase_in_run
-- One row a transaction: the roll-up locks those of a user in an order of its own, and nobody may wait for it and hold
-- another one. The roll-up that begins from now on leaves the user out until the erasure is finished.
DELETE FROM experiment_users WHERE run = $1 AND user_id = $2;

-- name: erase_in_building
SELECT erase_in_building($1);

-- name: finish
-- Not while a row is left: one that a relay held may come back, for another try or as a dead one. Nor while letters
-- that may be of any user are: another erasure may have locked the same ones, and others may be behind them.
UPDATE user_erasures
SET unfinished = FALSE
WHERE user_id = $1
    AND number = $2
    AND NOT EXISTS (
        SELECT FROM events
        WHERE user_id = $1 AND (erasures < $2 OR (erasures IS NULL AND received_at <= $3))
    )
    AND NOT EXISTS (
        SELECT FROM event_outbox
        WHERE left(message_key, 128) = left($1, 128) AND message_key = $1
            AND (erasures < $2 OR (erasures IS NULL AND created_at <= $3))
    )
    AND NOT EXISTS (
        SELECT FROM feature_consumer_dlq WHERE message_key IS NULL AND value IS NOT NULL AND created_at <= $3
    );

-- name: unfinished
SELECT user_id, number, erased_at
FROM user_erasures
WHERE unfinished AND erased_at < now() - make_interval(secs => $1)
ORDER BY number <= $3, number
LIMIT $2;
