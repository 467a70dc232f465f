-- name: span
SELECT min(received_at), count(*) FROM events;

-- name: first_received
SELECT min(received_at) FROM events;

-- name: count_received
SELECT count(*) FROM events WHERE received_at >= $1 AND received_at < $2;

-- name: mark_lone_cancels
-- When a rebuild is begun, or goes on and has folded no stored events yet; and not later: what expires after that may
-- have been folded before.
INSERT INTO reco_building.lone_cancels (event_id, cancels)
SELECT e.event_id, e.payload ->> 'cancels'
FROM events AS e
WHERE e.event_type = 'cancel' AND NOT EXISTS (SELECT FROM events AS c WHERE c.event_id = e.payload ->> 'cancels')
ON CONFLICT DO NOTHING;

-- name: read_received
-- A slice ($4 of $5) of the counted events received from $1 to before $2, in order of arrival. Counted until $3: by
-- their dedupe rows; or long enough ago that those have expired, and neither queued nor given up. They are kept for $6
-- days, and may have been kept for fewer before, at least $7: where none is as old, the others have expired as well.
WITH expired AS (
    SELECT
        greatest(
            now() - make_interval(secs => $6 * 86400),
            least((SELECT min(consumed_at) FROM feature_event_consumed), now() - make_interval(secs => $7 * 86400))
        ) AS received_before
)
SELECT e.payload::text
FROM events AS e
LEFT JOIN feature_event_consumed AS c ON c.event_id = e.event_id
WHERE
    e.received_at >= $1 AND e.received_at < $2
    AND mod(abs(hashtextextended(e.user_id, 0)), $5::bigint) = $4::bigint
    AND (
        c.consumed_at <= $3
        OR (
            c.event_id IS NULL
            AND e.received_at < (SELECT received_before FROM expired)
            AND NOT EXISTS (SELECT FROM event_outbox AS o WHERE o.event_id = e.event_id)
            AND NOT EXISTS (
                SELECT FROM feature_consumer_dlq AS d WHERE d.event_id = e.event_id AND d.status <> 'replayed'
            )
        )
    )
    AND NOT EXISTS (
        SELECT FROM user_erasures AS x
        WHERE
            x.user_id = e.user_id
            AND (e.erasures < x.number OR (e.erasures IS NULL AND e.received_at <= x.erased_at))
    )
    AND (
        e.event_type <> 'cancel'
        OR NOT EXISTS (
            SELECT FROM reco_building.lone_cancels AS l
            WHERE
                l.event_id = e.event_id
                AND NOT EXISTS (SELECT FROM reco_building.file_events AS f WHERE f.event_id = l.cancels)
        )
    )
ORDER BY e.received_at, e.event_id;

-- name: read_counted
-- At most $3 of the events that were counted after $1 and until $2, by the stamps of their dedupe rows.
SELECT c.consumed_at, e.received_at, e.event_id, e.payload::text
FROM feature_event_consumed AS c
JOIN events AS e ON e.event_id = c.event_id
WHERE
    c.consumed_at > $1 AND c.consumed_at <= $2
    AND NOT EXISTS (
        SELECT FROM user_erasures AS x
        WHERE
            x.user_id = e.user_id
            AND (e.erasures < x.number OR (e.erasures IS NULL AND e.received_at <= x.erased_at))
    )
    AND (
        e.event_type <> 'cancel'
        OR NOT EXISTS (
            SELECT FROM reco_building.lone_cancels AS l
            WHERE
                l.event_id = e.event_id
                AND NOT EXISTS (SELECT FROM reco_building.file_events AS f WHERE f.event_id = l.cancels)
        )
    )
ORDER BY c.consumed_at
LIMIT $3;

-- name: stored
-- By type, less those of them that were taken back, as far as that is known to be counted; impressions left out.
WITH stored AS (
    SELECT
        CASE e.event_type WHEN 'cancel' THEN e.payload ->> 'cancelled_type' ELSE e.event_type END AS event_type,
        CASE e.event_type WHEN 'cancel' THEN -1 ELSE 1 END AS number
    FROM events AS e
    WHERE
        e.event_type <> 'impression'
        AND (
            e.event_type <> 'cancel'
            OR (
                EXISTS (SELECT FROM feature_event_consumed AS c WHERE c.event_id = e.event_id)
                AND EXISTS (SELECT FROM events AS o WHERE o.event_id = e.payload ->> 'cancels')
            )
        )
)

SELECT
    coalesce(sum(number) FILTER (WHERE event_type = 'view'), 0),
    coalesce(sum(number) FILTER (WHERE event_type = 'click'), 0),
    coalesce(sum(number) FILTER (WHERE event_type = 'purchase'), 0),
    coalesce(sum(number) FILTER (WHERE event_type = 'watch'), 0),
    coalesce(sum(number) FILTER (WHERE event_type NOT IN ('view', 'click', 'purchase', 'watch')), 0)
FROM stored;

-- name: lacks_first
-- Whether the sums hold an event that is older than all that are stored. An item without events has the time 2^62.
SELECT coalesce(
    (SELECT min(first_ms) FROM item_stats)
    < coalesce((SELECT min(ts_ms) FROM events WHERE event_type <> 'impression'), 4611686018427387904),
    FALSE
);

-- name: stored_after
-- The ids of stored events and their users, in the order of the ids.
SELECT event_id, user_id FROM events WHERE event_id > $1 ORDER BY event_id LIMIT $2;

-- name: all_erased
SELECT user_id, (extract(EPOCH FROM erased_at) * 1000)::bigint FROM user_erasures;

-- name: known_ids
SELECT event_id FROM events WHERE event_id = ANY (string_to_array($1, chr(31), ''));

-- name: read_of_users
-- The counted events of users since their last erasure.
SELECT e.payload::text
FROM events AS e
JOIN feature_event_consumed AS c ON c.event_id = e.event_id
JOIN user_erasures AS x ON x.user_id = e.user_id
WHERE
    e.user_id = ANY ($1::text[])
    AND NOT (e.erasures < x.number OR (e.erasures IS NULL AND e.received_at <= x.erased_at))
ORDER BY e.received_at, e.event_id;
