-- name: roll_up
-- One slice of arrivals, [$1, $2): what the places of its requests had led to by $2, less what they had by $1. So a
-- conversion, its impression and its cancellation may arrive in any order and count once. $3: how many positions count;
-- $4: the value for no variant; $5: the number of user groups; $6: with more events than this, a request no longer
-- counts; $7: the sources that have a name of their own; $8: how many pairs of a placement and a variant of one day
-- have names of their own; $9: how many currencies of one day; $10: the event types that are conversions; $11: the
-- registers of a sketch.
WITH arrived AS MATERIALIZED (
    SELECT event_id, event_type, user_id, request_id, ts_ms, payload, received_at
    FROM events
    WHERE received_at >= $1 AND received_at < $2
        AND (event_type IN ('impression', 'click', 'watch', 'cancel') OR event_type = ANY ($10::text[]))
),
requests AS MATERIALIZED (
    SELECT request_id FROM arrived WHERE request_id IS NOT NULL
    UNION
    SELECT o.request_id
    FROM arrived AS a
    JOIN events AS o ON o.event_id = a.payload ->> 'cancels' AND o.user_id = a.user_id
    WHERE a.event_type = 'cancel' AND o.request_id IS NOT NULL
),
related AS MATERIALIZED (
    SELECT * FROM arrived WHERE request_id IS NULL AND event_type = 'impression'
    UNION ALL
    SELECT e.event_id, e.event_type, e.user_id, e.request_id, e.ts_ms, e.payload, e.received_at
    FROM requests AS r
    CROSS JOIN LATERAL (
        SELECT *, count(*) OVER () AS events_of_request
        FROM (SELECT * FROM events WHERE request_id = r.request_id LIMIT $6::integer + 1) AS found
    ) AS e
    WHERE e.events_of_request <= $6 AND e.received_at < $2
),
-- A variant of an experiment of the API has the name of the experiment before its own.
placed AS MATERIALIZED (
    SELECT
        i.user_id, coalesce(i.request_id, i.event_id) AS request, i.request_id IS NOT NULL AS named,
        p.item ->> 'item_id' AS item_id, i.received_at, i.event_id,
        (to_timestamp(i.ts_ms / 1000.0) AT TIME ZONE 'UTC')::date AS day,
        coalesce(
            nullif(left(coalesce(p.item ->> 'feed_id', i.payload -> 'context' ->> 'feed_id'), 64), ''), 'unknown'
        ) AS placement,
        CASE
            WHEN coalesce(s.source, '') = '' THEN 'unknown'
            WHEN s.source = ANY ($7::text[]) THEN s.source
            ELSE 'other'
        END AS source,
        CASE
            WHEN v.variant = $4 OR v.variant !~ '^[a-z0-9][a-z0-9_-]{0,31}$' THEN ''
            WHEN NOT i.payload -> 'context' ? 'experiment' THEN v.variant
            WHEN v.experiment ~ '^[a-z0-9][a-z0-9_-]{0,31}\.[0-9]+$' THEN
                split_part(v.experiment, '.', 1) || '/' || v.variant
            ELSE ''
        END AS variant
    FROM related AS i
    CROSS JOIN LATERAL jsonb_array_elements(i.payload -> 'items') WITH ORDINALITY AS p (item, place)
    CROSS JOIN LATERAL (SELECT i.payload -> 'context' -> 'sources' ->> (p.place::integer - 1) AS source) AS s
    CROSS JOIN LATERAL (
        SELECT
            coalesce(left(i.payload -> 'context' ->> 'variant', 33), '') AS variant,
            left(i.payload -> 'context' ->> 'experiment', 44) AS experiment
    ) AS v
    WHERE i.event_type = 'impression' AND (p.item ->> 'position')::integer < $3
),
-- Clients choose the names. The first ones of a day keep theirs, so that the number of rows is bounded.
known AS MATERIALIZED (
    SELECT DISTINCT a.day, a.placement, a.variant
    FROM analytics_conversions AS a
    WHERE a.day IN (SELECT day FROM placed)
),
named_lists AS MATERIALIZED (
    SELECT * FROM known
    UNION ALL
    SELECT n.day, n.placement, n.variant
    FROM (
        SELECT p.day, p.placement, p.variant, row_number() OVER (
            PARTITION BY p.day ORDER BY count(*) DESC, p.placement, p.variant
        ) AS nth
        FROM placed AS p
        WHERE NOT EXISTS (
            SELECT FROM known AS k WHERE (k.day, k.placement, k.variant) = (p.day, p.placement, p.variant)
        )
        GROUP BY p.day, p.placement, p.variant
    ) AS n
    WHERE n.nth <= $8 - (SELECT count(*) FROM known AS k WHERE k.day = n.day)
),
shown AS MATERIALIZED (
    SELECT DISTINCT ON (p.user_id, p.request, p.item_id)
        p.user_id, p.request, p.named, p.item_id, p.received_at, p.day, p.source,
        coalesce(l.placement, 'other') AS placement, coalesce(l.variant, '') AS variant,
        ('x' || left(md5(p.user_id), 4))::bit(16)::integer % $5 AS user_group
    FROM placed AS p
    LEFT JOIN named_lists AS l ON (l.day, l.placement, l.variant) = (p.day, p.placement, p.variant)
    ORDER BY p.user_id, p.request, p.item_id, p.received_at, p.event_id
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
conversions AS MATERIALIZED (
    SELECT
        r.user_id, r.request_id, r.payload ->> 'item_id' AS item_id,
        coalesce(r.payload ->> 'currency', '') AS currency, (r.payload ->> 'value')::float8 AS value,
        x.received_at IS NULL AS counts, r.received_at < $1 AND coalesce(x.received_at >= $1, TRUE) AS counted
    FROM related AS r
    CROSS JOIN LATERAL (
        SELECT min(c.received_at) AS received_at
        FROM events AS c
        WHERE c.event_type = 'cancel' AND c.payload ->> 'cancels' = r.event_id AND c.user_id = r.user_id
            AND c.received_at < $2
    ) AS x
    WHERE r.event_type = ANY ($10::text[]) AND r.request_id IS NOT NULL
),
converted AS (
    SELECT user_id, request_id, item_id, bool_or(counts) AS counts, bool_or(counted) AS counted
    FROM conversions
    GROUP BY 1, 2, 3
),
changed AS (
    SELECT
        day, placement, source, variant, user_group,
        1 AS shown, 0 AS clicked, 0 AS converted, 0 AS watches, 0::float8 AS watch_sec
    FROM shown
    WHERE received_at >= $1
    UNION ALL
    SELECT s.day, s.placement, s.source, s.variant, s.user_group, 0, 1, 0, 0, 0
    FROM shown AS s
    JOIN clicked AS c ON s.named AND (c.user_id, c.request_id, c.item_id) = (s.user_id, s.request, s.item_id)
    WHERE greatest(s.received_at, c.received_at) >= $1
    UNION ALL
    SELECT
        s.day, s.placement, s.source, s.variant, s.user_group, 0, 0,
        c.counts::integer - (c.counted AND s.received_at < $1)::integer, 0, 0
    FROM shown AS s
    JOIN converted AS c ON s.named AND (c.user_id, c.request_id, c.item_id) = (s.user_id, s.request, s.item_id)
    UNION ALL
    SELECT s.day, s.placement, s.source, s.variant, s.user_group, 0, 0, 0, 1, w.watch_sec
    FROM shown AS s
    JOIN watched AS w ON s.named AND (w.user_id, w.request_id, w.item_id) = (s.user_id, s.request, s.item_id)
    WHERE greatest(s.received_at, w.received_at) >= $1
),
by_group AS (
    INSERT INTO analytics_conversions AS a (
        day, placement, source, variant, user_group, shown, clicked, converted, watches, watch_sec
    )
    SELECT
        day, placement, source, variant, user_group,
        sum(shown), sum(clicked), sum(converted), sum(watches), sum(watch_sec)
    FROM changed
    WHERE shown <> 0 OR clicked <> 0 OR converted <> 0 OR watches <> 0
    GROUP BY day, placement, source, variant, user_group
    ON CONFLICT (day, placement, source, variant, user_group) DO UPDATE SET
        shown = a.shown + excluded.shown,
        clicked = a.clicked + excluded.clicked,
        converted = a.converted + excluded.converted,
        watches = a.watches + excluded.watches,
        watch_sec = a.watch_sec + excluded.watch_sec
),
-- Without a catalogue, all items count. A sketch is written only when a register of it grows, which is rare once a list
-- has been shown often.
ranked AS (
    SELECT s.day, s.placement, s.source, s.variant, u.register, max(u.rank) AS rank
    FROM (SELECT DISTINCT day, placement, source, variant, item_id FROM shown WHERE received_at >= $1) AS s
    LEFT JOIN items AS i ON i.item_id = s.item_id
    CROSS JOIN LATERAL (
        SELECT
            ('x' || left(h.hex, 4))::bit(16)::integer % $11::integer AS register,
            33 - length(ltrim(('x' || substr(h.hex, 9, 8))::bit(32)::text, '0')) AS rank
        FROM (SELECT md5(s.item_id) AS hex) AS h
    ) AS u
    WHERE i.item_id IS NOT NULL OR NOT EXISTS (SELECT FROM items)
    GROUP BY 1, 2, 3, 4, 5
),
grown AS MATERIALIZED (
    SELECT r.*
    FROM ranked AS r
    LEFT JOIN analytics_coverage AS c
        ON (c.day, c.placement, c.source, c.variant) = (r.day, r.placement, r.source, r.variant)
    WHERE c.ranks IS NULL OR get_byte(c.ranks, r.register) < r.rank
),
covered AS (
    INSERT INTO analytics_coverage AS a (day, placement, source, variant, ranks)
    SELECT
        k.day, k.placement, k.source, k.variant,
        (
            SELECT decode(string_agg(lpad(to_hex(
                greatest(get_byte(c.ranks, n.register), (k.ranks -> n.register::text)::integer, 0)
            ), 2, '0'), '' ORDER BY n.register), 'hex')
            FROM generate_series(0, $11::integer - 1) AS n (register)
        )
    FROM (
        SELECT day, placement, source, variant, jsonb_object_agg(register, rank) AS ranks FROM grown GROUP BY 1, 2, 3, 4
    ) AS k
    LEFT JOIN analytics_coverage AS c
        ON (c.day, c.placement, c.source, c.variant) = (k.day, k.placement, k.source, k.variant)
    ON CONFLICT (day, placement, source, variant) DO UPDATE SET ranks = excluded.ranks
),
paid AS MATERIALIZED (
    SELECT
        s.day, s.placement, s.source, s.variant, s.user_group, c.currency,
        sum(c.value * (c.counts::integer - (c.counted AND s.received_at < $1)::integer)) AS revenue
    FROM shown AS s
    JOIN conversions AS c ON s.named AND (c.user_id, c.request_id, c.item_id) = (s.user_id, s.request, s.item_id)
    WHERE c.value IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 6
),
known_currencies AS MATERIALIZED (
    SELECT DISTINCT a.day, a.currency FROM analytics_revenue AS a WHERE a.day IN (SELECT day FROM paid)
),
named_currencies AS (
    SELECT * FROM known_currencies
    UNION ALL
    SELECT n.day, n.currency
    FROM (
        SELECT p.day, p.currency, row_number() OVER (PARTITION BY p.day ORDER BY count(*) DESC, p.currency) AS nth
        FROM paid AS p
        WHERE NOT EXISTS (SELECT FROM known_currencies AS k WHERE (k.day, k.currency) = (p.day, p.currency))
        GROUP BY p.day, p.currency
    ) AS n
    WHERE n.nth <= $9 - (SELECT count(*) FROM known_currencies AS k WHERE k.day = n.day)
)
INSERT INTO analytics_revenue AS a (day, placement, source, variant, currency, user_group, revenue)
SELECT p.day, p.placement, p.source, p.variant, p.currency, p.user_group, p.revenue
FROM paid AS p
JOIN named_currencies AS n ON (n.day, n.currency) = (p.day, p.currency)
WHERE p.revenue <> 0
ON CONFLICT (day, placement, source, variant, currency, user_group) DO UPDATE SET
    revenue = a.revenue + excluded.revenue;

-- name: read
-- The sums of each group of users, by each of the four and in total. An empty variant is none. $2 to $4: of this placement,
-- source and variant alone, NULL for all.
SELECT
    CASE GROUPING(day, placement, source, variant)
        WHEN 7 THEN 'day' WHEN 11 THEN 'placement' WHEN 13 THEN 'source' WHEN 14 THEN 'variant' ELSE 'total'
    END AS by,
    coalesce(day::text, placement, source, variant, '') AS name, user_group,
    sum(shown)::float8 AS shown, sum(clicked)::float8 AS clicked, sum(converted)::float8 AS converted,
    sum(watches)::float8 AS watches, sum(watch_sec) AS watch_sec
FROM analytics_conversions
WHERE day > $1
    AND ($2::text IS NULL OR placement = $2) AND ($3::text IS NULL OR source = $3) AND ($4::text IS NULL OR variant = $4)
GROUP BY GROUPING SETS (
    (day, user_group), (placement, user_group), (source, user_group), (variant, user_group), (user_group)
);

-- name: read_revenue
-- The same, by currency.
SELECT
    CASE GROUPING(day, placement, source, variant)
        WHEN 7 THEN 'day' WHEN 11 THEN 'placement' WHEN 13 THEN 'source' WHEN 14 THEN 'variant' ELSE 'total'
    END AS by,
    coalesce(day::text, placement, source, variant, '') AS name, user_group, currency, sum(revenue) AS revenue
FROM analytics_revenue
WHERE day > $1
    AND ($2::text IS NULL OR placement = $2) AND ($3::text IS NULL OR source = $3) AND ($4::text IS NULL OR variant = $4)
GROUP BY GROUPING SETS (
    (day, user_group, currency), (placement, user_group, currency), (source, user_group, currency),
    (variant, user_group, currency), (user_group, currency)
);

-- name: read_coverage
-- The sketches of the same places.
SELECT day::text, placement, source, variant, ranks
FROM analytics_coverage
WHERE day > $1
    AND ($2::text IS NULL OR placement = $2) AND ($3::text IS NULL OR source = $3) AND ($4::text IS NULL OR variant = $4);
