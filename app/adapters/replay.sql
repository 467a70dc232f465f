-- name: dead_rows
-- The filters are the same in all of these statements; NULL stands for "any".
SELECT id, topic, event_id, replays, failed_at AS at, last_error AS error, NULL::bytea AS message_key
FROM event_outbox
WHERE status = 'dead'
    AND id > %(after)s
    AND (%(ids)s::bigint[] IS NULL OR id = ANY (%(ids)s))
    AND (%(topic)s::text IS NULL OR topic = %(topic)s)
    AND (%(event_id)s::text IS NULL OR event_id = %(event_id)s)
    AND (%(error)s::text IS NULL OR strpos(lower(coalesce(last_error, '')), lower(%(error)s)) > 0)
    AND (%(older_sec)s::float8 IS NULL OR failed_at <= now() - make_interval(secs => %(older_sec)s))
    AND (%(newer_sec)s::float8 IS NULL OR failed_at >= now() - make_interval(secs => %(newer_sec)s))
    AND (%(until)s::timestamptz IS NULL OR coalesce(failed_at, created_at) <= %(until)s)
ORDER BY id
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED;

-- name: requeue_rows
UPDATE event_outbox
SET status = 'pending', attempts = 0, replays = replays + 1, available_at = now()
WHERE id = ANY (%(ids)s) AND status = 'dead';

-- name: now
SELECT clock_timestamp();

-- name: discard_rows
UPDATE event_outbox
SET status = 'discarded', resolved_at = now(), resolved_by = %(by)s, resolution = %(reason)s
WHERE id = ANY (%(ids)s) AND status = 'dead'
RETURNING id;

-- name: show_row
SELECT
    id, status, event_id, topic, message_key, traceparent, attempts, replays, created_at, available_at, failed_at,
    last_error, errors, resolved_at, resolved_by, resolution, coalesce(raw, convert_to(payload, 'UTF8')) AS value
FROM event_outbox
WHERE id = %(id)s;

-- name: letters
SELECT id, topic, event_id, replays, created_at AS at, error, message_key
FROM feature_consumer_dlq
WHERE status = %(status)s
    AND id > %(after)s
    AND NOT (
        %(sendable_only)s
        AND (
            error_kind = 'batch'
            OR value IS NULL
            -- Dedupe rows are kept so long at least: later it is not known whether it has been counted.
            OR (
                status = 'replayed'
                AND (resolution = 'already counted' OR resolved_at < now() - make_interval(days => %(known_days)s))
            )
        )
    )
    AND (%(ids)s::bigint[] IS NULL OR id = ANY (%(ids)s))
    AND (%(topic)s::text IS NULL OR topic = %(topic)s)
    AND (%(event_id)s::text IS NULL OR event_id = %(event_id)s)
    AND (%(error)s::text IS NULL OR strpos(lower(error), lower(%(error)s)) > 0)
    AND (%(older_sec)s::float8 IS NULL OR created_at <= now() - make_interval(secs => %(older_sec)s))
    AND (%(newer_sec)s::float8 IS NULL OR created_at >= now() - make_interval(secs => %(newer_sec)s))
    AND (%(until)s::timestamptz IS NULL OR created_at <= %(until)s)
ORDER BY id
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED;

-- name: requeue_letters
-- Back into the outbox, in the transaction that marks them: an interruption leaves both or neither. What has been
-- counted since, by another copy, is not sent again.
WITH picked AS (
    SELECT
        d.*,
        k.key,
        EXISTS (SELECT FROM feature_event_consumed AS c WHERE c.event_id = d.event_id) AS counted
    FROM feature_consumer_dlq AS d
    JOIN unnest(%(ids)s::bigint[], %(keys)s::text[]) AS k (id, key) USING (id)
    WHERE d.status = %(status)s
),
queued AS (
    INSERT INTO event_outbox (
        event_id, topic, message_key, payload, raw, traceparent, tracestate, replays, erasures, letter_id, errors
    )
    SELECT
        coalesce(event_id, 'dead-letter-' || id), topic, key, '', coalesce(value, ''), traceparent,
        -- Whoever wrote the message may have written anything there.
        substring(
            left(encode(header_values[array_position(header_names, 'tracestate')], 'escape'), 512) FROM '^[ -\[\]-~]+$'
        ),
        replays + 1, erasures, id, errors
    FROM picked
    WHERE NOT counted
    ORDER BY id
)
UPDATE feature_consumer_dlq AS d
SET status = 'replayed',
    untold = TRUE,
    replays = d.replays + 1,
    resolved_at = now(),
    resolved_by = %(by)s,
    resolution = CASE WHEN p.counted THEN 'already counted' ELSE 'sent again' END
FROM picked AS p
WHERE d.id = p.id
RETURNING d.id, p.counted;

-- name: discard_letters
UPDATE feature_consumer_dlq
SET status = 'discarded', untold = TRUE, resolved_at = now(), resolved_by = %(by)s, resolution = %(reason)s
WHERE id = ANY (%(ids)s) AND status <> 'discarded'
RETURNING id;

-- name: show_letter
-- Any number may be a message's time: years before 1 and after 9999 are none that a client reads.
SELECT
    id, status, event_id, topic, partition, record_offset, record_ts_ms,
    CASE
        WHEN record_ts_ms BETWEEN -62135510400000 AND 253402214400000 THEN to_timestamp(record_ts_ms / 1000.0)
    END AS record_at,
    message_key, header_names, header_values, traceparent, error_kind, error, errors, attempts, replays,
    created_at, resolved_at, resolved_by, resolution, value
FROM feature_consumer_dlq
WHERE id = %(id)s;

-- name: requeue_events
-- Accepted long enough ago to have been counted, and neither counted nor in the outbox nor a dead letter that waits or
-- was given up nor from before an erasure of its user. A dead letter that was sent again may be lost like any message: a
-- second copy of one that is on its way is not counted. Of an older release's rows the database's clock says which are
-- from after the erasure.
WITH missing AS (
    SELECT e.event_id, e.event_type, e.user_id, e.payload, coalesce(e.erasures, u.number, 0) AS erasures
    FROM events AS e
    LEFT JOIN user_erasures AS u ON u.user_id = e.user_id
    WHERE e.received_at >= now() - make_interval(secs => %(newer_sec)s)
        AND e.received_at <= now() - make_interval(secs => %(older_sec)s)
        AND NOT EXISTS (SELECT FROM feature_event_consumed AS c WHERE c.event_id = e.event_id)
        AND NOT EXISTS (SELECT FROM event_outbox AS o WHERE o.event_id = e.event_id)
        AND NOT EXISTS (SELECT FROM feature_consumer_dlq AS d WHERE d.event_id = e.event_id AND d.status <> 'replayed')
        AND CASE WHEN e.erasures IS NULL THEN e.received_at > u.erased_at ELSE e.erasures >= u.number END IS NOT FALSE
    LIMIT %(limit)s
),
queued AS (
    INSERT INTO event_outbox (event_id, topic, message_key, payload, erasures)
    SELECT
        m.event_id,
        CASE m.event_type WHEN 'watch' THEN %(watches)s WHEN 'impression' THEN %(impressions)s ELSE %(rest)s END,
        m.user_id,
        m.payload::text,
        m.erasures
    FROM missing AS m
    WHERE NOT %(dry_run)s
)
SELECT count(*) FROM missing;
