-- name: consume
-- The dedupe rows. A second transaction with the same ids waits here for the first, and then finds them taken.
INSERT INTO feature_event_consumed (event_id)
SELECT * FROM unnest(string_to_array($1, chr(31), '')) AS e (event_id) ORDER BY event_id
ON CONFLICT (event_id) DO NOTHING
RETURNING event_id;

-- name: unconsume
DELETE FROM feature_event_consumed WHERE event_id = ANY ($1::text[]);

-- name: lock_histories
-- In key order, as all do who lock several. What is missing is created in that order, too: after the lock of a later row it
-- would be waited for out of order where another transaction has just created it. An update that does not take place
-- locks as well, and leaves no row version.
INSERT INTO user_history (user_id)
SELECT * FROM unnest(string_to_array($1, chr(31), '')) AS u (user_id) ORDER BY user_id
ON CONFLICT (user_id) DO UPDATE SET version = user_history.version WHERE FALSE;

-- name: read_locked_histories
SELECT user_id, version, history FROM user_history WHERE user_id = ANY (string_to_array($1, chr(31), ''));

-- name: write_histories
UPDATE user_history AS h
SET history = n.history, version = h.version + 1, updated_at = now()
FROM unnest(string_to_array($1, chr(31), ''), $2::bytea[]) AS n (user_id, history)
WHERE h.user_id = n.user_id;

-- name: drop_empty_histories
-- Of users of whom nothing counted: events of before their erasure.
DELETE FROM user_history WHERE user_id = ANY ($1::text[]) AND history = '';

-- name: create_items
INSERT INTO item_stats (item_id)
SELECT * FROM unnest($1::text[]) AS i (item_id) ORDER BY item_id
ON CONFLICT (item_id) DO NOTHING;

-- name: item_keys
SELECT item_id, item_key FROM item_stats WHERE item_id = ANY ($1::text[]);

-- name: add_to_items
-- The column `returns` holds the repeat weight. It was named before the term, and a rename would break a rollback.
-- $19 to $21: the half-lives of the three popularities.
INSERT INTO item_stats AS s (
    item_key, item_id, popular_ms, popular_hours, popular_day, popular_week, frequency, returns, events, users,
    first_ms, impressions, views, clicks, purchases, watches, watch_ms, other_events
)
SELECT *
FROM unnest(
    $1::text::integer[], string_to_array($2, chr(31), ''), $3::text::bigint[], $4::text::float8[], $5::text::float8[],
    $6::text::float8[], $7::text::float8[], $8::text::float8[], $9::text::float8[], $10::text::bigint[],
    $11::text::bigint[], $12::text::bigint[], $13::text::bigint[], $14::text::bigint[], $15::text::bigint[],
    $16::text::bigint[], $17::text::bigint[], $18::text::bigint[]
) AS d (
    item_key, item_id, popular_ms, popular_hours, popular_day, popular_week, frequency, returns, events, users,
    first_ms, impressions, views, clicks, purchases, watches, watch_ms, other_events
)
ORDER BY item_key
ON CONFLICT (item_key) DO UPDATE SET
    popular_ms = greatest(s.popular_ms, excluded.popular_ms),
    popular_hours
    = decayed(s.popular_hours, greatest(excluded.popular_ms - s.popular_ms, 0), $19)
    + decayed(excluded.popular_hours, greatest(s.popular_ms - excluded.popular_ms, 0), $19),
    popular_day
    = decayed(s.popular_day, greatest(excluded.popular_ms - s.popular_ms, 0), $20)
    + decayed(excluded.popular_day, greatest(s.popular_ms - excluded.popular_ms, 0), $20),
    popular_week
    = decayed(s.popular_week, greatest(excluded.popular_ms - s.popular_ms, 0), $21)
    + decayed(excluded.popular_week, greatest(s.popular_ms - excluded.popular_ms, 0), $21),
    frequency = s.frequency + excluded.frequency,
    returns = s.returns + excluded.returns,
    events = s.events + excluded.events,
    users = s.users + excluded.users,
    first_ms = least(s.first_ms, excluded.first_ms),
    impressions = s.impressions + excluded.impressions,
    views = s.views + excluded.views,
    clicks = s.clicks + excluded.clicks,
    purchases = s.purchases + excluded.purchases,
    watches = s.watches + excluded.watches,
    watch_ms = s.watch_ms + excluded.watch_ms,
    other_events = s.other_events + excluded.other_events;

-- name: add_to_pairs
-- Each pair once, the smaller key first, and in key order. The minute is computed once: as a default it would be for every
-- row, also for those that are there already.
INSERT INTO item_pairs AS p (item_a, item_b, weight, met, a_to_b, b_to_a, created_minute)
SELECT d.item_a, d.item_b, d.weight, d.met, d.a_to_b, d.b_to_a, (SELECT (extract(EPOCH FROM now()) / 60)::integer)
FROM unnest(
    $1::text::integer[], $2::text::integer[], $3::text::float8[], $4::text::real[], $5::text::float8[],
    $6::text::float8[]
) AS d (item_a, item_b, weight, met, a_to_b, b_to_a)
ORDER BY d.item_a, d.item_b
ON CONFLICT (item_a, item_b) DO UPDATE SET
    weight = p.weight + excluded.weight,
    met = p.met + excluded.met,
    a_to_b = p.a_to_b + excluded.a_to_b,
    b_to_a = p.b_to_a + excluded.b_to_a;

-- name: read_histories
-- A user who did nothing but log in has joined ids and maybe no history.
SELECT u.user_id, coalesce(h.version, 0), coalesce(h.history, ''), j.joined
FROM unnest($1::text[]) AS u (user_id)
LEFT JOIN user_history AS h ON h.user_id = u.user_id
CROSS JOIN LATERAL (
    SELECT array_agg(l.anonymous_id ORDER BY l.anonymous_id) AS joined
    FROM user_links AS l
    WHERE l.user_id = u.user_id AND l.undone_at IS NULL
) AS j
WHERE h.user_id IS NOT NULL OR j.joined IS NOT NULL;

-- name: read_neighbours
-- One row per item, with its pairs that are most similar or follow most; app.core.neighbours computes the similarity.
-- $3 and $4: the powers of the item's and of the candidate's frequency; $5: the number of events at which thin evidence
-- halves the similarity. Numbers as the bytes of float8: a list of them costs more to decode than to read.
SELECT i.item_id, i.frequency, i.events, i.users, near.ids, near.weights, near.met, near.follows
FROM item_stats AS i
CROSS JOIN LATERAL (
    SELECT
        array_agg(item_id) AS ids,
        string_agg(float8send(weight), '') AS weights,
        string_agg(float8send(met), '') AS met,
        string_agg(float8send(follows), '') AS follows
    FROM (
        SELECT s.item_id, p.weight, p.met::float8, p.follows
        FROM (
            SELECT item_b AS other, weight, met, a_to_b AS follows FROM item_pairs WHERE item_a = i.item_key
            UNION ALL
            SELECT item_a, weight, met, b_to_a FROM item_pairs WHERE item_b = i.item_key
        ) AS p
        JOIN item_stats AS s ON s.item_key = p.other
        WHERE s.frequency > 0 AND p.weight > 0
        ORDER BY
            p.weight / (power(i.frequency, $3::float8) * power(s.frequency, $4::float8))
            * (s.events / (s.events + $5::float8))
            + p.follows / i.frequency DESC
        LIMIT $2
    ) AS strongest
) AS near
WHERE i.item_id = ANY ($1::text[]) AND i.frequency > 0 AND near.ids IS NOT NULL;

-- name: read_sums
-- The numbers of `item_table.SUMS`, as the bytes of float8, row by row.
SELECT
    array_agg(item_id) AS ids,
    string_agg(
        float8send(popular_ms) || float8send(popular_hours) || float8send(popular_day) || float8send(popular_week)
        || float8send(frequency) || float8send(returns) || float8send(events) || float8send(users)
        || float8send(first_ms), ''
    ) AS sums
FROM item_stats
WHERE item_id = ANY ($1::text[]);

-- name: read_popular
-- Of the items with keys from $6 to $7 that may be served: those that are most popular by each half-life ($2 to $4) and
-- rank above $8, $9 or $10, with the half-life's number. By the logarithm of a popularity at one time: which of two items
-- has the higher one does not depend on that time. The catalogue is asked item by item, for those that are popular enough;
-- with $5, what it does not have may not be served. Served or not, there are the item of the latest event, which is the
-- log's clock, and the most popular one by each half-life: popularity counts as a share of its.
WITH ranked AS MATERIALIZED (
    SELECT
        item_id, popular_ms,
        CASE WHEN popular_hours > 0 THEN ln(popular_hours) + popular_ms * (ln(2::float8) / $2::float8) END AS hours,
        CASE WHEN popular_day > 0 THEN ln(popular_day) + popular_ms * (ln(2::float8) / $3::float8) END AS day,
        CASE WHEN popular_week > 0 THEN ln(popular_week) + popular_ms * (ln(2::float8) / $4::float8) END AS week
    FROM item_stats
    WHERE item_key >= $6 AND item_key <= $7
),
part AS MATERIALIZED (
    SELECT r.item_id, r.hours, r.day, r.week
    FROM ranked AS r
    LEFT JOIN LATERAL (
        SELECT
            NOT i.hidden AND coalesce(i.expires_at > now(), TRUE) AND coalesce(i.published_at <= now(), TRUE) AS servable
        FROM items AS i
        WHERE i.item_id = r.item_id
        OFFSET 0
    ) AS c ON TRUE
    WHERE
        (r.hours > $8::float8 OR r.day > $9::float8 OR r.week > $10::float8)
        AND coalesce(c.servable, NOT $5::boolean)
)

(SELECT 0, item_id, hours FROM part WHERE hours > $8 ORDER BY hours DESC, item_id LIMIT $1)
UNION ALL
(SELECT 1, item_id, day FROM part WHERE day > $9 ORDER BY day DESC, item_id LIMIT $1)
UNION ALL
(SELECT 2, item_id, week FROM part WHERE week > $10 ORDER BY week DESC, item_id LIMIT $1)
UNION ALL
(SELECT 3, item_id, popular_ms::float8 FROM ranked ORDER BY popular_ms DESC LIMIT 1)
UNION ALL
(SELECT 4, item_id, hours FROM ranked WHERE hours > $8 ORDER BY hours DESC, item_id LIMIT 1)
UNION ALL
(SELECT 5, item_id, day FROM ranked WHERE day > $9 ORDER BY day DESC, item_id LIMIT 1)
UNION ALL
(SELECT 6, item_id, week FROM ranked WHERE week > $10 ORDER BY week DESC, item_id LIMIT 1);

-- name: read_popular_of_category
-- Of a category with fewer than $6 items that may be served; of a larger one a NULL alone.
WITH of_category AS MATERIALIZED (
    SELECT i.item_id
    FROM items AS i
    WHERE
        i.categories @> ARRAY[$5::text]
        AND NOT i.hidden AND (i.expires_at IS NULL OR i.expires_at > now())
        AND (i.published_at IS NULL OR i.published_at <= now())
    LIMIT $6
),
servable AS MATERIALIZED (
    SELECT s.item_id, s.popular_ms, s.popular_hours, s.popular_day, s.popular_week
    FROM of_category
    JOIN item_stats AS s USING (item_id)
    WHERE (SELECT count(*) FROM of_category) < $6
)

(
    SELECT item_id FROM servable WHERE popular_hours > 0
    ORDER BY ln(popular_hours) + popular_ms * (ln(2::float8) / $2::float8) DESC, item_id LIMIT $1
)
UNION
(
    SELECT item_id FROM servable WHERE popular_day > 0
    ORDER BY ln(popular_day) + popular_ms * (ln(2::float8) / $3::float8) DESC, item_id LIMIT $1
)
UNION
(
    SELECT item_id FROM servable WHERE popular_week > 0
    ORDER BY ln(popular_week) + popular_ms * (ln(2::float8) / $4::float8) DESC, item_id LIMIT $1
)
UNION
SELECT NULL WHERE (SELECT count(*) FROM of_category) >= $6;

-- name: begin_of_part
-- The key of the last one of $2 items from $1 downwards; NULL if there are not so many.
SELECT item_key FROM item_stats WHERE item_key <= $1 ORDER BY item_key DESC OFFSET $2 - 1 LIMIT 1;

-- name: read_popular_of_part
-- As `read_popular`, of the items with keys from $6 to $7 that are in the category $5 and may be served, and rank above $8,
-- $9 or $10 by the half-life in question. The catalogue is asked item by item, for those that are popular enough: joined
-- at once, all of a large category would be read for each part.
WITH ranked AS MATERIALIZED (
    SELECT
        item_id,
        CASE WHEN popular_hours > 0 THEN ln(popular_hours) + popular_ms * (ln(2::float8) / $2::float8) END AS hours,
        CASE WHEN popular_day > 0 THEN ln(popular_day) + popular_ms * (ln(2::float8) / $3::float8) END AS day,
        CASE WHEN popular_week > 0 THEN ln(popular_week) + popular_ms * (ln(2::float8) / $4::float8) END AS week
    FROM item_stats
    WHERE item_key >= $6 AND item_key <= $7
),
part AS MATERIALIZED (
    SELECT r.item_id, r.hours, r.day, r.week
    FROM ranked AS r
    CROSS JOIN LATERAL (
        SELECT FROM items AS i
        WHERE
            i.item_id = r.item_id AND i.categories @> ARRAY[$5::text]
            AND NOT i.hidden AND (i.expires_at IS NULL OR i.expires_at > now())
            AND (i.published_at IS NULL OR i.published_at <= now())
        OFFSET 0
    ) AS servable
    WHERE r.hours > $8::float8 OR r.day > $9::float8 OR r.week > $10::float8
)

(SELECT 0, item_id, hours FROM part WHERE hours > $8 ORDER BY hours DESC, item_id LIMIT $1)
UNION ALL
(SELECT 1, item_id, day FROM part WHERE day > $9 ORDER BY day DESC, item_id LIMIT $1)
UNION ALL
(SELECT 2, item_id, week FROM part WHERE week > $10 ORDER BY week DESC, item_id LIMIT $1);
