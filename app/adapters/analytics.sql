-- name: lock_progress
SELECT rolled_to FROM analytics_progress FOR UPDATE SKIP LOCKED;

-- name: settled
-- A received time is the start of its transaction: before the oldest open writing transaction no row can still appear.
SELECT least(
    clock_timestamp() - interval '1 second',
    min(xact_start) FILTER (WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())
)
FROM pg_stat_activity
WHERE datname = current_database();

-- name: oldest_open
-- The transaction that `settled` waits for, once it has been open for $1 seconds.
SELECT pid, usename, application_name, extract(EPOCH FROM clock_timestamp() - xact_start)::integer
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    AND xact_start < clock_timestamp() - make_interval(secs => $1)
ORDER BY xact_start
LIMIT 1;

-- name: next_arrival
SELECT min(received_at) FROM events WHERE received_at >= $1 AND received_at < $2;

-- name: advance
UPDATE analytics_progress SET rolled_to = $1;

-- name: roll_up
-- One slice of arrivals, [$1, $2). An item counts as shown once a request, when its first impression arrives; a click
-- or a watch counts for it when the later of the two has arrived. $3: how many positions count; $4: the value for no
-- variant; $5: the number of user groups; $6: with more events than this, a request no longer counts; $7: the sources
-- that have a name of their own; $8, $9: how many model versions and variants of one day have a name of their own.
WITH arrived AS MATERIALIZED (
    SELECT event_id, event_type, user_id, request_id, ts_ms, payload, received_at
    FROM events
    WHERE received_at >= $1 AND received_at < $2 AND event_type IN ('impression', 'click', 'watch')
),
-- All events of the slice's requests. Their number is bounded, so the cost does not depend on how often an id repeats.
related AS MATERIALIZED (
    SELECT * FROM arrived WHERE request_id IS NULL
    UNION ALL
    SELECT e.event_id, e.event_type, e.user_id, e.request_id, e.ts_ms, e.payload, e.received_at
    FROM (SELECT DISTINCT request_id FROM arrived WHERE request_id IS NOT NULL) AS r
    CROSS JOIN LATERAL (
        SELECT *, count(*) OVER () AS events_of_request
        FROM (SELECT * FROM events WHERE request_id = r.request_id LIMIT $6::integer + 1) AS found
    ) AS e
    WHERE e.events_of_request <= $6 AND e.received_at < $2 AND e.event_type IN ('impression', 'click', 'watch')
),
impressions AS MATERIALIZED (
    SELECT
        event_id, user_id, request_id, payload, received_at,
        (to_timestamp(ts_ms / 1000.0) AT TIME ZONE 'UTC')::date AS day,
        coalesce(nullif(left(payload -> 'context' ->> 'model_version', 64), ''), 'unknown') AS model_version,
        left(payload -> 'context' ->> 'variant', 33) AS variant,
        left(payload -> 'context' ->> 'experiment', 64) AS experiment
    FROM related
    WHERE event_type = 'impression'
),
-- Clients choose the names. The first ones of a day keep theirs, so that the number of rows is bounded.
versions AS MATERIALIZED (
    SELECT
        i.day, i.model_version, count(*) AS impressions,
        EXISTS (SELECT FROM analytics_shown AS a WHERE a.day = i.day AND a.model_version = i.model_version) AS known
    FROM impressions AS i
    GROUP BY i.day, i.model_version
),
named_versions AS MATERIALIZED (
    SELECT day, model_version FROM versions WHERE known
    UNION ALL
    SELECT n.day, n.model_version
    FROM (
        SELECT *, row_number() OVER (PARTITION BY day ORDER BY impressions DESC, model_version) AS place
        FROM versions
        WHERE NOT known
    ) AS n
    WHERE n.place <= $8 - (SELECT count(DISTINCT a.model_version) FROM analytics_shown AS a WHERE a.day = n.day)
),
variants AS MATERIALIZED (
    SELECT
        i.day, i.variant, count(*) AS impressions,
        EXISTS (SELECT FROM analytics_variants AS a WHERE a.day = i.day AND a.variant = i.variant) AS known
    FROM impressions AS i
    WHERE i.variant ~ '^[a-z0-9][a-z0-9_-]{0,31}$' AND i.variant <> $4 AND i.experiment IS NULL
    GROUP BY i.day, i.variant
),
named_variants AS MATERIALIZED (
    SELECT day, variant FROM variants WHERE known
    UNION ALL
    SELECT n.day, n.variant
    FROM (
        SELECT *, row_number() OVER (PARTITION BY day ORDER BY impressions DESC, variant) AS place
        FROM variants
        WHERE NOT known
    ) AS n
    WHERE n.place <= $9 - (SELECT count(DISTINCT a.variant) FROM analytics_variants AS a WHERE a.day = n.day)
),
placed AS (
    SELECT
        i.user_id, coalesce(i.request_id, i.event_id) AS request, i.request_id IS NOT NULL AS named,
        p.item ->> 'item_id' AS item_id,
        i.day,
        CASE
            WHEN coalesce(s.source, '') = '' THEN 'unknown'
            WHEN s.source = ANY ($7::text[]) THEN s.source
            ELSE 'other'
        END AS source,
        coalesce(m.model_version, 'other') AS model_version, v.variant, i.received_at, i.event_id,
        i.experiment, i.variant AS said
    FROM impressions AS i
    LEFT JOIN named_versions AS m ON m.day = i.day AND m.model_version = i.model_version
    LEFT JOIN named_variants AS v ON v.day = i.day AND v.variant = i.variant AND i.experiment IS NULL
    CROSS JOIN LATERAL jsonb_array_elements(i.payload -> 'items') WITH ORDINALITY AS p (item, place)
    CROSS JOIN LATERAL (SELECT i.payload -> 'context' -> 'sources' ->> (p.place::integer - 1) AS source) AS s
    WHERE (p.item ->> 'position')::integer < $3
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
    SELECT
        day, source, model_version, variant, user_id,
        1 AS shown, 0 AS clicked, 0 AS watches, 0::float8 AS watch_sec,
        experiment, said, received_at AS shown_at, received_at
    FROM shown
    WHERE received_at >= $1
    UNION ALL
    SELECT s.day, s.source, s.model_version, s.variant, s.user_id, 0, 1, 0, 0,
        s.experiment, s.said, s.received_at, greatest(s.received_at, c.received_at)
    FROM shown AS s
    JOIN clicked AS c ON s.named AND (c.user_id, c.request_id, c.item_id) = (s.user_id, s.request, s.item_id)
    WHERE greatest(s.received_at, c.received_at) >= $1
    UNION ALL
    SELECT s.day, s.source, s.model_version, s.variant, s.user_id, 0, 0, 1, w.watch_sec,
        s.experiment, s.said, s.received_at, greatest(s.received_at, w.received_at)
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
by_variant AS (
    INSERT INTO analytics_variants AS a (day, variant, user_group, top_rank, shown, clicked, watches, watch_sec)
    SELECT
        c.day, c.variant, u.user_group, max(u.top_rank), sum(c.shown), sum(c.clicked), sum(c.watches), sum(c.watch_sec)
    FROM (
        SELECT
            day, variant, user_id,
            sum(shown) AS shown, sum(clicked) AS clicked, sum(watches) AS watches, sum(watch_sec) AS watch_sec
        FROM counted
        WHERE variant IS NOT NULL
        GROUP BY day, variant, user_id
    ) AS c
    CROSS JOIN LATERAL (
        SELECT
            ('x' || left(h.hex, 4))::bit(16)::integer % $5 AS user_group,
            33 - length(ltrim(('x' || substr(h.hex, 9, 8))::bit(32)::text, '0')) AS top_rank
        FROM (SELECT md5(c.user_id) AS hex) AS h
    ) AS u
    GROUP BY 1, 2, 3
    ON CONFLICT (day, variant, user_group) DO UPDATE SET
        top_rank = greatest(a.top_rank, excluded.top_rank),
        shown = a.shown + excluded.shown,
        clicked = a.clicked + excluded.clicked,
        watches = a.watches + excluded.watches,
        watch_sec = a.watch_sec + excluded.watch_sec
),
-- A user of an experiment keeps the variant of the first list; an erased user is left out until nothing is left.
by_experiment AS (
    INSERT INTO experiment_users AS u (run, user_id, variant, exposed_at, shown, clicked)
    SELECT c.run, c.user_id, c.variant, min(c.shown_at), sum(c.shown), sum(c.clicked)
    FROM (
        SELECT
            x.run, x.window_days, n.user_id, n.shown, n.clicked, n.shown_at, n.received_at, n.said,
            p.exposed_at,
            coalesce(
                p.variant,
                first_value(n.said) OVER (PARTITION BY x.run, n.user_id ORDER BY n.shown_at, n.said)
            ) AS variant
        FROM counted AS n
        JOIN experiments AS x
            ON n.experiment = x.name || '.' || x.stage
            AND n.said = ANY (x.variants)
            AND n.shown_at >= x.stage_at
            AND (x.ended_at IS NULL OR n.received_at < x.ended_at)
        LEFT JOIN experiment_users AS p ON p.run = x.run AND p.user_id = n.user_id
        WHERE NOT EXISTS (SELECT FROM user_erasures AS e WHERE e.user_id = n.user_id AND e.unfinished)
    ) AS c
    WHERE c.said = c.variant
        AND (c.exposed_at IS NULL OR c.received_at < c.exposed_at + make_interval(days => c.window_days))
    GROUP BY c.run, c.user_id, c.variant
    ON CONFLICT (run, user_id) DO UPDATE SET
        shown = u.shown + excluded.shown,
        clicked = u.clicked + excluded.clicked
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

-- name: read_variants
-- Of the $2 most shown variants, $3 (control) always among them: the sums of each group of users.
WITH most AS (
    SELECT variant
    FROM analytics_variants
    WHERE day > $1
    GROUP BY variant
    ORDER BY variant = $3 DESC, sum(shown) DESC, variant
    LIMIT $2
)
SELECT
    variant, max(top_rank), sum(shown)::float8, sum(clicked)::float8, sum(watches)::float8, sum(watch_sec)
FROM analytics_variants
WHERE day > $1 AND variant IN (SELECT variant FROM most)
GROUP BY variant, user_group;

-- name: read_comparisons
-- For each of the variants $2 its groups' sums and those of control ($3), of the days on which both were shown. A day of
-- control weighs as much among them as that day of the variant does, so that a variant whose share grew, or which came
-- later, is compared with the same mix of days.
WITH days AS MATERIALIZED (
    SELECT variant, day, sum(shown)::float8 AS shown
    FROM analytics_variants
    WHERE day > $1 AND (variant = $3 OR variant = ANY ($2::text[]))
    GROUP BY variant, day
    HAVING sum(shown) > 0
),
weights AS (
    SELECT v.variant, v.day, v.shown / sum(v.shown) OVER same * sum(c.shown) OVER same / c.shown AS weight
    FROM days AS v
    JOIN days AS c ON c.day = v.day AND c.variant = $3
    WHERE v.variant <> $3
    WINDOW same AS (PARTITION BY v.variant)
)
SELECT
    w.variant, a.variant = $3 AS control,
    sum(a.shown * n.times), sum(a.clicked * n.times), sum(a.watches * n.times), sum(a.watch_sec * n.times)
FROM weights AS w
JOIN analytics_variants AS a ON a.day = w.day AND a.variant IN (w.variant, $3)
CROSS JOIN LATERAL (SELECT CASE a.variant WHEN $3 THEN w.weight ELSE 1 END AS times) AS n
GROUP BY w.variant, a.variant, a.user_group;

-- name: read_total
SELECT
    coalesce(sum(shown), 0)::bigint, coalesce(sum(clicked), 0)::bigint, coalesce(sum(watches), 0)::bigint,
    coalesce(sum(watch_sec), 0)
FROM analytics_shown
WHERE day > $1;

-- name: read_sources
-- The sources $2, and the sums of all others as `other`.
SELECT s.source, sum(a.shown)::bigint, sum(a.clicked)::bigint
FROM analytics_shown AS a
CROSS JOIN LATERAL (SELECT CASE WHEN a.source = ANY ($2::text[]) THEN a.source ELSE 'other' END AS source) AS s
WHERE a.day > $1
GROUP BY s.source;

-- name: read_shown
SELECT source, model_version, sum(shown)::bigint, sum(clicked)::bigint, sum(watches)::bigint, sum(watch_sec)
FROM analytics_shown
WHERE day > $1
GROUP BY source, model_version
ORDER BY sum(shown) DESC, source, model_version
LIMIT $2;

-- name: read_watches
SELECT coalesce(sum(watches), 0)::bigint, coalesce(sum(watch_sec), 0) FROM analytics_watches WHERE day > $1;

-- name: read_items
-- How many items of the catalogue were shown, by each of the sources $2 with its version in $3; ('', '') stands for any.
-- Without a catalogue, of all items seen so far. By joins, which take no more memory than they may: where an `IN` is one of
-- two conditions, and its items do not fit, they are gone through for each row.
SELECT a.source, a.model_version, count(*)
FROM unnest($2::text[], $3::text[]) AS asked (source, model_version)
JOIN analytics_items AS a USING (source, model_version)
JOIN (
    SELECT item_id FROM items
    UNION ALL
    SELECT item_id FROM item_stats WHERE NOT EXISTS (SELECT FROM items)
) AS known USING (item_id)
WHERE a.last_day > $1
GROUP BY a.source, a.model_version;

-- name: catalogue_size
-- Without a catalogue, all items seen so far.
SELECT coalesce(nullif((SELECT count(*) FROM items), 0), (SELECT count(*) FROM item_stats));

-- name: progress
SELECT rolled_to FROM analytics_progress;

-- name: freshness
-- The time from the receipt of an event to the commit of its features, for a sample of the last $1 seconds, and how
-- many of the sample are not counted yet.
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
