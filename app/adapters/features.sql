-- name: consume
-- The dedupe rows. A second transaction with the same ids waits here for the first, and then finds them taken.
INSERT INTO feature_event_consumed (event_id)
SELECT * FROM unnest($1::text[]) AS e (event_id) ORDER BY event_id
ON CONFLICT (event_id) DO NOTHING
RETURNING event_id;

-- name: unconsume
DELETE FROM feature_event_consumed WHERE event_id = ANY ($1::text[]);

-- name: lock_histories
-- One statement creates missing rows, locks all of them in key order, and reads them.
INSERT INTO user_history (user_id)
SELECT * FROM unnest($1::text[]) AS u (user_id) ORDER BY user_id
ON CONFLICT (user_id) DO UPDATE SET version = user_history.version + 1
RETURNING user_id, version, history;

-- name: write_histories
UPDATE user_history AS h
SET history = n.history, updated_at = now()
FROM unnest($1::text[], $2::bytea[]) AS n (user_id, history)
WHERE h.user_id = n.user_id;

-- name: create_items
INSERT INTO item_stats (item_id)
SELECT * FROM unnest($1::text[]) AS i (item_id) ORDER BY item_id
ON CONFLICT (item_id) DO NOTHING;

-- name: item_keys
SELECT item_id, item_key FROM item_stats WHERE item_id = ANY ($1::text[]);

-- name: add_to_items
-- The column `returns` holds the repeat weight. It was named before the term, and a rename would break a rollback.
INSERT INTO item_stats AS s (
    item_key, item_id, popularity, frequency, returns, impressions, views, clicks, purchases, watches, watch_ms
)
SELECT *
FROM unnest(
    $1::integer[], $2::text[], $3::float8[], $4::float8[], $5::float8[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[], $10::bigint[], $11::bigint[]
) AS d (item_key, item_id, popularity, frequency, returns, impressions, views, clicks, purchases, watches, watch_ms)
ORDER BY item_key
ON CONFLICT (item_key) DO UPDATE SET
    popularity = s.popularity + excluded.popularity,
    frequency = s.frequency + excluded.frequency,
    returns = s.returns + excluded.returns,
    impressions = s.impressions + excluded.impressions,
    views = s.views + excluded.views,
    clicks = s.clicks + excluded.clicks,
    purchases = s.purchases + excluded.purchases,
    watches = s.watches + excluded.watches,
    watch_ms = s.watch_ms + excluded.watch_ms;

-- name: add_to_pairs
INSERT INTO item_pairs AS p (item_a, item_b, weight)
SELECT least(d.one, d.other) AS item_a, greatest(d.one, d.other) AS item_b, d.weight
FROM unnest($1::text::integer[], $2::text::integer[], $3::text::float8[]) AS d (one, other, weight)
ORDER BY item_a, item_b
ON CONFLICT (item_a, item_b) DO UPDATE SET weight = p.weight + excluded.weight;

-- name: read_histories
SELECT user_id, version, history FROM user_history WHERE user_id = ANY ($1::text[]);

-- name: read_neighbours
-- One row per item, with its most similar pairs; app.core.neighbours computes the similarity. $3: the power of the
-- candidate's frequency, $4: the frequency at which thin evidence halves the similarity.
SELECT i.item_id, i.frequency, i.returns AS repeat_weight, near.ids, near.weights, near.frequencies
FROM item_stats AS i
CROSS JOIN LATERAL (
    SELECT array_agg(item_id) AS ids, array_agg(weight) AS weights, array_agg(frequency) AS frequencies
    FROM (
        SELECT s.item_id, p.weight, s.frequency
        FROM (
            SELECT item_b AS other, weight FROM item_pairs WHERE item_a = i.item_key
            UNION ALL
            SELECT item_a, weight FROM item_pairs WHERE item_b = i.item_key
        ) AS p
        JOIN item_stats AS s ON s.item_key = p.other
        WHERE s.frequency > 0 AND p.weight > 0
        ORDER BY p.weight / power(s.frequency, $3::float8) * (s.frequency / (s.frequency + $4::float8)) DESC
        LIMIT $2
    ) AS strongest
) AS near
WHERE i.item_id = ANY ($1::text[]) AND near.ids IS NOT NULL;

-- name: read_popular
SELECT s.item_id, s.popularity FROM item_stats AS s
WHERE
    s.popularity > 0
    AND NOT EXISTS (
        SELECT FROM items AS i
        WHERE i.item_id = s.item_id AND (i.hidden OR i.expires_at <= now() OR i.published_at > now())
    )
ORDER BY s.popularity DESC, s.item_id
LIMIT $1;

-- name: read_popular_of_catalogue
SELECT s.item_id, s.popularity
FROM item_stats AS s
JOIN items AS i ON i.item_id = s.item_id
WHERE
    NOT i.hidden AND (i.expires_at IS NULL OR i.expires_at > now())
    AND (i.published_at IS NULL OR i.published_at <= now())
    AND s.popularity > 0
ORDER BY s.popularity DESC, s.item_id
LIMIT $1;

-- name: read_popular_of_category
SELECT s.item_id, s.popularity
FROM items AS i
JOIN item_stats AS s ON s.item_id = i.item_id
WHERE
    i.categories @> ARRAY[$2::text]
    AND NOT i.hidden AND (i.expires_at IS NULL OR i.expires_at > now())
    AND (i.published_at IS NULL OR i.published_at <= now())
    AND s.popularity > 0
ORDER BY s.popularity DESC, s.item_id
LIMIT $1;
