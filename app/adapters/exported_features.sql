-- name: generation
SELECT generation, parameters::text FROM feature_generations WHERE state = 'serving';

-- name: now_ms
SELECT (extract(EPOCH FROM clock_timestamp()) * 1000)::bigint;

-- name: items
-- %(factor)s: the decay factor of now. The column `returns` holds the repeat weight.
SELECT
    item_key, item_id,
    decayed(popular_hours, greatest(%(now_ms)s - popular_ms, 0), %(hours)s) AS popularity_hours,
    decayed(popular_day, greatest(%(now_ms)s - popular_ms, 0), %(day)s) AS popularity_day,
    decayed(popular_week, greatest(%(now_ms)s - popular_ms, 0), %(week)s) AS popularity_week,
    frequency * %(factor)s AS frequency, returns * %(factor)s AS repeat_weight, events * %(factor)s AS events, users,
    CASE WHEN users > 0 THEN first_ms END AS first_ms, nullif(popular_ms, 0) AS last_ms, impressions, views, clicks, purchases, watches, watch_ms / 1000.0::float8 AS watch_time_sec
FROM item_stats
WHERE item_key > %(after)s
ORDER BY item_key
LIMIT %(limit)s;

-- name: pairs
SELECT
    p.item_a, p.item_b, a.item_id, b.item_id, p.weight * %(factor)s, p.met::float8, p.a_to_b * %(factor)s,
    p.b_to_a * %(factor)s
FROM (
    SELECT * FROM item_pairs
    WHERE (item_a, item_b) > (%(after_a)s, %(after_b)s)
    ORDER BY item_a, item_b
    LIMIT %(limit)s
) AS p
JOIN item_stats AS a ON a.item_key = p.item_a
JOIN item_stats AS b ON b.item_key = p.item_b
ORDER BY p.item_a, p.item_b;

-- name: histories
SELECT user_id, history FROM user_history WHERE user_id > %(after)s ORDER BY user_id LIMIT %(limit)s;

-- name: type_names
SELECT number, name FROM event_types;
