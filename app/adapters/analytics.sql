-- name: lock_progress
SELECT rolled_to FROM analytics_progress FOR UPDATE SKIP LOCKED;

-- name: settled
-- Received times are those of transactions' starts: before the oldest open one that writes, no row can still appear.
SELECT least(
    clock_timestamp() - interval '1 second',
    min(xact_start) FILTER (WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())
)
FROM pg_stat_activity
WHERE datname = current_database();

-- name: next_arrival
SELECT min(received_at) FROM events WHERE received_at >= $1 AND received_at < $2;

-- name: advance
UPDATE analytics_progress SET rolled_to = $1;

-- name: roll_up
-- One slice of arrivals, [$1, $2). An item counts as shown once a request, when its first impression arrives; a click or
-- a watch counts for it when the later of the two has arrived. $3: how many places count.
WITH arrived AS MATERIALIZED (
    SELECT event_id, event_type, user_id, request_id, ts_ms, payload, received_at
    FROM events
    WHERE received_at >= $1 AND received_at < $2 AND event_type IN ('impression', 'click', 'watch')
),
-- Those of earlier slices that share a request with this one's.
related AS (
    SELECT * FROM arrived
    UNION ALL
    SELECT e.event_id, e.event_type, e.user_id, e.request_id, e.ts_ms, e.payload, e.received_at
    FROM (SELECT DISTINCT request_id FROM arrived WHERE request_id IS NOT NULL) AS r
    JOIN events AS e ON e.request_id = r.request_id
    WHERE e.received_at < $1 AND e.event_type IN ('impression', 'click', 'watch')
),
placed AS (
    SELECT
        i.user_id, coalesce(i.request_id, i.event_id) AS request, i.request_id IS NOT NULL AS named,
        p.item ->> 'item_id' AS item_id,
        (to_timestamp(i.ts_ms / 1000.0) AT TIME ZONE 'UTC')::date AS day,
        coalesce(nullif(left(i.payload -> 'context' -> 'sources' ->> (p.place::integer - 1), 64), ''), 'unknown') AS source,
        coalesce(nullif(left(i.payload -> 'context' ->> 'model_version', 64), ''), 'unknown') AS model_version,
        i.received_at, i.event_id
    FROM related AS i
    CROSS JOIN LATERAL jsonb_array_elements(i.payload -> 'items') WITH ORDINALITY AS p (item, place)
    WHERE i.event_type = 'impression' AND (p.item ->> 'position')::integer < $3
),
shown AS (
    SELECT DISTINCT ON (user_id, request, item_id) *
    FROM placed
    ORDER BY user_id, request, item_id, received_at, event_id
),
clicked AS (
    SELECT user_id, request_id, payload ->> 'item_id' AS item_id, min(received_at) AS received_at
    FROM related
    WHERE event_type = 'click' AND request_id IS NOT NULL
    GROUP BY 1, 2, 3
),
watched AS (
    SELECT
        user_id, request_id, payload ->> 'item_id' AS item_id, received_at,
        (payload ->> 'watch_time_sec')::float8 AS watch_sec
    FROM related
    WHERE event_type = 'watch' AND request_id IS NOT NULL
),
counted AS (
    SELECT day, source, model_version, 1 AS shown, 0 AS clicked, 0 AS watches, 0::float8 AS watch_sec
    FROM shown
    WHERE received_at >= $1
    UNION ALL
    SELECT s.day, s.source, s.model_version, 0, 1, 0, 0
    FROM shown AS s
    JOIN clicked AS c ON s.named AND (c.user_id, c.request_id, c.item_id) = (s.user_id, s.request, s.item_id)
    WHERE greatest(s.received_at, c.received_at) >= $1
    UNION ALL
    SELECT s.day, s.source, s.model_version, 0, 0, 1, w.watch_sec
    FROM shown AS s
    JOIN watched AS w ON s.named AND (w.user_id, w.request_id, w.item_id) = (s.user_id, s.request, s.item_id)
    WHERE greatest(s.received_at, w.received_at) >= $1
),
by_day AS (
    INSERT INTO analytics_shown AS a (day, source, model_version, shown, clicked, watches, watch_sec)
    SELECT day, source, model_version, sum(shown), sum(clicked), sum(watches), sum(watch_sec)
    FROM counted
    GROUP BY day, source, model_version
    ON CONFLICT (day, source, model_version) DO UPDATE SET
        shown = a.shown + excluded.shown,
        clicked = a.clicked + excluded.clicked,
        watches = a.watches + excluded.watches,
        watch_sec = a.watch_sec + excluded.watch_sec
),
by_watch AS (
    INSERT INTO analytics_watches AS a (day, watches, watch_sec)
    SELECT
        (to_timestamp(ts_ms / 1000.0) AT TIME ZONE 'UTC')::date, count(*),
        sum((payload ->> 'watch_time_sec')::float8)
    FROM arrived
    WHERE event_type = 'watch'
    GROUP BY 1
    ON CONFLICT (day) DO UPDATE SET
        watches = a.watches + excluded.watches,
        watch_sec = a.watch_sec + excluded.watch_sec
),
by_item AS (
    INSERT INTO analytics_items AS a (source, model_version, item_id, last_day)
    SELECT g.source, g.model_version, s.item_id, max(s.day)
    FROM shown AS s
    CROSS JOIN LATERAL (VALUES (s.source, s.model_version), ('', '')) AS g (source, model_version)
    WHERE s.received_at >= $1
    GROUP BY 1, 2, 3
    ON CONFLICT (source, model_version, item_id) DO UPDATE SET last_day = excluded.last_day
    WHERE a.last_day < excluded.last_day
)
SELECT count(*) FROM arrived;

-- name: read_shown
SELECT source, model_version, sum(shown)::bigint, sum(clicked)::bigint, sum(watches)::bigint, sum(watch_sec)
FROM analytics_shown
WHERE day > $1
GROUP BY source, model_version
ORDER BY sum(shown) DESC, source, model_version;

-- name: read_watches
SELECT coalesce(sum(watches), 0)::bigint, coalesce(sum(watch_sec), 0) FROM analytics_watches WHERE day > $1;

-- name: read_items
SELECT source, model_version, count(*) FROM analytics_items WHERE last_day > $1 GROUP BY source, model_version;

-- name: catalogue_size
-- Without a catalogue, what was ever seen.
SELECT coalesce(nullif((SELECT count(*) FROM items), 0), (SELECT count(*) FROM item_stats));

-- name: progress
SELECT rolled_to FROM analytics_progress;

-- name: freshness
-- From the receipt of an event to its features being committed, of a sample of the last $1 seconds, and how many of
-- the sample are not counted yet.
SELECT
    count(c.consumed_at),
    count(*) FILTER (WHERE c.consumed_at IS NULL),
    (extract(EPOCH FROM percentile_disc(0.5) WITHIN GROUP (ORDER BY c.consumed_at - e.received_at)) * 1000)::float8,
    (extract(EPOCH FROM percentile_disc(0.99) WITHIN GROUP (ORDER BY c.consumed_at - e.received_at)) * 1000)::float8
FROM (
    SELECT event_id, received_at
    FROM events
    WHERE received_at > now() - make_interval(secs => $1)
        AND ('x' || left(md5(event_id), 4))::bit(16)::integer % 16 = 0
    LIMIT 5000
) AS e
LEFT JOIN feature_event_consumed AS c ON c.event_id = e.event_id;
