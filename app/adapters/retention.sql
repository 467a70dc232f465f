-- Each statement removes at most $2 rows older than $1 seconds. Locked rows are skipped until the next time.

-- name: feature_event_consumed
DELETE FROM feature_event_consumed WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM feature_event_consumed
    WHERE consumed_at < now() - make_interval(secs => $1)
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));

-- name: events
-- An outbox row does not need its event: it holds the message. While `reco rebuild` runs, whose session holds this lock, none
-- goes: rows of files that are stored as well are left to `events`, which it reads after all files.
DELETE FROM events WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM events
    WHERE
        received_at < now() - make_interval(secs => $1)
        AND NOT EXISTS (
            SELECT FROM pg_locks
            WHERE
                locktype = 'advisory' AND granted AND classid = 0 AND objid = 7236353 AND objsubid = 1
                AND database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
        )
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));

-- name: feature_consumer_dlq
-- Pending dead letters stay. So do discarded ones as long as events of before are stored: by them a rebuild knows which of
-- those were never counted.
DELETE FROM feature_consumer_dlq WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM feature_consumer_dlq
    WHERE
        status IN ('replayed', 'discarded') AND resolved_at < now() - make_interval(secs => $1)
        AND (status = 'replayed' OR resolved_at < (SELECT coalesce(min(received_at), 'infinity') FROM events))
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));

-- name: sessions
DELETE FROM sessions WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM sessions
    WHERE created_at < now() - make_interval(secs => $1)
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));

-- name: audit_log
DELETE FROM audit_log WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM audit_log
    WHERE recorded_at < now() - make_interval(secs => $1)
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));

-- name: event_outbox
-- As discarded dead letters.
DELETE FROM event_outbox WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM event_outbox
    WHERE
        status = 'discarded' AND resolved_at < now() - make_interval(secs => $1)
        AND resolved_at < (SELECT coalesce(min(received_at), 'infinity') FROM events)
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));

-- name: analytics_shown
DELETE FROM analytics_shown WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM analytics_shown
    WHERE day < (now() AT TIME ZONE 'UTC' - make_interval(secs => $1))::date
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));

-- name: analytics_watches
DELETE FROM analytics_watches WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM analytics_watches
    WHERE day < (now() AT TIME ZONE 'UTC' - make_interval(secs => $1))::date
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));

-- name: analytics_variants
DELETE FROM analytics_variants WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM analytics_variants
    WHERE day < (now() AT TIME ZONE 'UTC' - make_interval(secs => $1))::date
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));

-- name: analytics_conversions
DELETE FROM analytics_conversions WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM analytics_conversions
    WHERE day < (now() AT TIME ZONE 'UTC' - make_interval(secs => $1))::date
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));

-- name: analytics_revenue
DELETE FROM analytics_revenue WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM analytics_revenue
    WHERE day < (now() AT TIME ZONE 'UTC' - make_interval(secs => $1))::date
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));

-- name: analytics_coverage
DELETE FROM analytics_coverage WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM analytics_coverage
    WHERE day < (now() AT TIME ZONE 'UTC' - make_interval(secs => $1))::date
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));

-- name: experiment_users
-- Of experiments whose sums are kept, that were deleted, or whose shares changed. The users of those that run are not
-- read: the index leads from one run to the next.
WITH RECURSIVE runs AS (
    SELECT min(run) AS run FROM experiment_users
    UNION ALL
    SELECT (SELECT min(u.run) FROM experiment_users AS u WHERE u.run > r.run)
    FROM runs AS r
    WHERE r.run IS NOT NULL
)
DELETE FROM experiment_users WHERE ctid = ANY (ARRAY(
    SELECT past.ctid
    FROM runs AS r
    CROSS JOIN LATERAL (
        SELECT u.ctid FROM experiment_users AS u
        WHERE u.run = r.run AND u.exposed_at < now() - make_interval(secs => $1)
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    ) AS past
    WHERE r.run IS NOT NULL AND r.run NOT IN (SELECT run FROM experiments WHERE totals IS NULL)
    LIMIT $2
));

-- name: rule_changes
DELETE FROM rule_changes WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM rule_changes
    WHERE changed_at < now() - make_interval(secs => $1)
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));
