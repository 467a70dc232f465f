-- name: lock
LOCK TABLE experiments IN SHARE ROW EXCLUSIVE MODE;

-- name: count
SELECT count(*) FROM experiments;

-- name: start
INSERT INTO experiments (name, lists, definition, variants, window_days, currency, buckets)
SELECT $1, $2, $3::text::jsonb, $4, $5, $6, $7
WHERE NOT EXISTS (SELECT FROM experiment_names WHERE name = $1 AND deleted_at >= now() - make_interval(days => $8))
ON CONFLICT DO NOTHING
RETURNING name;

-- name: find
SELECT
    name, definition::text, buckets, stage, started_at, stage_at, ended_at, conclusion, run,
    totals::text AS totals
FROM experiments
WHERE name = $1;

-- name: read_all
-- Those that run first, then the newest.
SELECT
    name, definition::text, buckets, stage, started_at, stage_at, ended_at, conclusion, run,
    totals::text AS totals
FROM experiments
ORDER BY ended_at IS NOT NULL, started_at DESC, name
LIMIT $1;

-- name: running
SELECT
    name, definition::text, buckets, stage, started_at, stage_at, ended_at, conclusion, run,
    totals::text AS totals
FROM experiments
WHERE ended_at IS NULL;

-- name: of_user
-- Those that run; exposed_at: when the first list of this user counted.
SELECT
    x.name, x.definition::text, x.buckets, x.stage, x.started_at, x.stage_at, x.ended_at, x.conclusion, x.run,
    x.totals::text AS totals, u.exposed_at
FROM experiments AS x
LEFT JOIN experiment_users AS u ON u.run = x.run AND u.user_id = $1
WHERE x.ended_at IS NULL
ORDER BY x.name;

-- name: restage
UPDATE experiments
SET buckets = $2, stage = stage + 1, stage_at = now(), run = nextval(pg_get_serial_sequence('experiments', 'run'))
WHERE name = $1;

-- name: stop
UPDATE experiments SET ended_at = now(), conclusion = $2 WHERE name = $1 AND ended_at IS NULL RETURNING name;

-- name: delete
DELETE FROM experiments WHERE name = $1 AND ended_at IS NOT NULL RETURNING name;

-- name: keep_name
-- Figures of placements have variants by name, for 40 days; lists that were made under one may be logged a while later.
WITH old AS (
    DELETE FROM experiment_names WHERE deleted_at < now() - make_interval(days => $2) AND name <> $1
)
INSERT INTO experiment_names (name) VALUES ($1) ON CONFLICT (name) DO UPDATE SET deleted_at = now();

-- name: had_name
SELECT EXISTS (SELECT FROM experiment_names WHERE name = $1 AND deleted_at >= now() - make_interval(days => $2));

-- name: sums
-- By variant, of the next $3 users after $2; `last` is the last of them. Users count once their window is over, by what has
-- been rolled up and, of an experiment that has ended, by its end.
SELECT
    max(max(u.user_id)) OVER () AS last,
    u.variant, count(*) AS exposed, count(*) FILTER (WHERE m.over) AS users,
    coalesce(sum(u.shown) FILTER (WHERE m.over), 0)::float8 AS shown,
    coalesce(sum(u.clicked) FILTER (WHERE m.over), 0)::float8 AS clicked,
    coalesce(sum(u.shown::float8 * u.shown) FILTER (WHERE m.over), 0) AS shown_shown,
    coalesce(sum(u.clicked::float8 * u.clicked) FILTER (WHERE m.over), 0) AS clicked_clicked,
    coalesce(sum(u.clicked::float8 * u.shown) FILTER (WHERE m.over), 0) AS clicked_shown,
    count(*) FILTER (WHERE m.over AND u.clicked > 0) AS clickers,
    count(*) FILTER (WHERE m.over AND u.purchases > 0) AS buyers,
    coalesce(sum(u.revenue) FILTER (WHERE m.over), 0) AS revenue,
    coalesce(sum(u.revenue * u.revenue) FILTER (WHERE m.over), 0) AS revenue_revenue,
    count(*) FILTER (WHERE m.over AND u.revenue > 0) AS payers,
    coalesce(sum(u.watch_sec) FILTER (WHERE m.over), 0) AS watch_sec,
    coalesce(sum(u.watch_sec * u.watch_sec) FILTER (WHERE m.over), 0) AS watch_watch,
    count(*) FILTER (WHERE m.over AND u.watch_sec > 0) AS watchers
FROM experiments AS x
CROSS JOIN LATERAL (
    SELECT * FROM experiment_users AS e WHERE e.run = x.run AND e.user_id > $2 ORDER BY e.user_id LIMIT $3
) AS u
CROSS JOIN analytics_progress AS p
CROSS JOIN LATERAL (
    SELECT u.exposed_at + make_interval(days => x.window_days) <= least(p.rolled_to, x.ended_at) AS over
) AS m
WHERE x.name = $1
GROUP BY u.variant;

-- name: counting
-- Whether an event from $1 on may count for an experiment.
SELECT EXISTS (SELECT FROM experiments WHERE ended_at IS NULL OR ended_at > $1);

-- name: count_outcomes
-- What users of experiments bought and watched, received in [$1, $2). A cancellation takes back what it counted.
WITH arrived AS MATERIALIZED (
    SELECT
        e.user_id, e.received_at, coalesce(o.received_at, e.received_at) AS first_at,
        CASE WHEN e.event_type = 'cancel' THEN -1 ELSE 1 END AS sign,
        coalesce(o.event_type, e.event_type) AS event_type, coalesce(o.payload, e.payload) AS payload
    FROM events AS e
    LEFT JOIN events AS o
        ON e.event_type = 'cancel' AND o.event_id = e.payload ->> 'cancels' AND o.user_id = e.user_id
    WHERE e.received_at >= $1 AND e.received_at < $2 AND e.event_type IN ('watch', 'purchase', 'cancel')
),
counted AS (
    SELECT
        u.run, u.user_id,
        sum(a.sign) FILTER (WHERE a.event_type = 'purchase') AS purchases,
        sum(a.sign * (a.payload ->> 'value')::float8)
            FILTER (WHERE a.event_type = 'purchase' AND a.payload ->> 'currency' = x.currency) AS revenue,
        sum(a.sign * (a.payload ->> 'watch_time_sec')::float8) FILTER (WHERE a.event_type = 'watch') AS watch_sec
    FROM arrived AS a
    JOIN experiment_users AS u ON u.user_id = a.user_id
    JOIN experiments AS x ON x.run = u.run
    WHERE a.event_type IN ('watch', 'purchase')
        AND a.first_at >= u.exposed_at
        AND a.received_at < least(u.exposed_at + make_interval(days => x.window_days), x.ended_at)
    GROUP BY u.run, u.user_id
)
UPDATE experiment_users AS u
SET
    purchases = u.purchases + coalesce(c.purchases, 0),
    revenue = u.revenue + coalesce(c.revenue, 0),
    watch_sec = u.watch_sec + coalesce(c.watch_sec, 0)
FROM counted AS c
WHERE u.run = c.run AND u.user_id = c.user_id;

-- name: settle
-- Keeps the sums of those that have ended, as of their end; then the rows of their users may go.
SELECT name
FROM experiments
WHERE totals IS NULL AND ended_at <= (SELECT rolled_to FROM analytics_progress)
LIMIT 1;

-- name: keep_totals
-- Once: from then on the rows of the users go.
UPDATE experiments SET totals = $2::text::jsonb WHERE name = $1 AND totals IS NULL;
