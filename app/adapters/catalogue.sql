-- name: read_cards
SELECT
    item_id, title, categories, hidden,
    unix_ms(published_at) AS published_ms,
    unix_ms(expires_at) AS expires_ms,
    tags, nullif(attributes::text, '{}') AS attributes
FROM items
WHERE item_id = ANY ($1::text[]);

-- name: read_new
-- Of the newest $3: after an import, all of a large catalogue is new. Separate from the query with a category: one plan
-- for both would be slow for both.
SELECT
    i.item_id,
    coalesce(s.impressions, 0) AS impressions,
    coalesce(s.clicks + s.watches + s.purchases + s.other_events, 0) AS responses,
    unix_ms(i.since) AS published_ms
FROM (
    SELECT item_id, coalesce(published_at, created_at, updated_at) AS since
    FROM items
    WHERE
        coalesce(published_at, created_at, updated_at) >= $1
        AND NOT hidden AND (expires_at IS NULL OR expires_at > now())
        AND (published_at IS NULL OR published_at <= now())
    ORDER BY coalesce(published_at, created_at, updated_at) DESC, item_id
    LIMIT $3
) AS i
LEFT JOIN item_stats AS s ON s.item_id = i.item_id
ORDER BY 2, 4 DESC, 1
LIMIT $2;

-- name: read_new_of_category
SELECT
    i.item_id,
    coalesce(s.impressions, 0) AS impressions,
    coalesce(s.clicks + s.watches + s.purchases + s.other_events, 0) AS responses,
    unix_ms(i.since) AS published_ms
FROM (
    SELECT item_id, coalesce(published_at, created_at, updated_at) AS since
    FROM items
    WHERE
        coalesce(published_at, created_at, updated_at) >= $1
        AND categories @> ARRAY[$4::text]
        AND NOT hidden AND (expires_at IS NULL OR expires_at > now())
        AND (published_at IS NULL OR published_at <= now())
    ORDER BY coalesce(published_at, created_at, updated_at) DESC, item_id
    LIMIT $3
) AS i
LEFT JOIN item_stats AS s ON s.item_id = i.item_id
ORDER BY 2, 4 DESC, 1
LIMIT $2;

-- name: read_newest
SELECT i.item_id FROM items AS i
WHERE
    NOT i.hidden AND (i.expires_at IS NULL OR i.expires_at > now())
    AND (i.published_at IS NULL OR i.published_at <= now())
ORDER BY coalesce(i.published_at, i.created_at, i.updated_at) DESC, i.item_id
LIMIT $1;

-- name: read_newest_of_category
SELECT i.item_id FROM items AS i
WHERE
    i.categories @> ARRAY[$2::text] AND NOT i.hidden AND (i.expires_at IS NULL OR i.expires_at > now())
    AND (i.published_at IS NULL OR i.published_at <= now())
ORDER BY coalesce(i.published_at, i.created_at, i.updated_at) DESC, i.item_id
LIMIT $1;

-- name: read_after
-- Behind a position of `read_newest`: an item, and since when the catalogue has it. A position is a time that every
-- client can hold, so items of before the year 1 have none.
SELECT
    (extract(EPOCH FROM coalesce(i.published_at, i.created_at, i.updated_at)) * 1000000)::bigint AS since_us, i.item_id
FROM items AS i
WHERE
    coalesce(i.published_at, i.created_at, i.updated_at) <= $2
    AND coalesce(i.published_at, i.created_at, i.updated_at) > '0001-01-01 00:00+00'
    AND (coalesce(i.published_at, i.created_at, i.updated_at) < $2 OR i.item_id > $3)
    AND NOT i.hidden AND (i.expires_at IS NULL OR i.expires_at > now())
    AND (i.published_at IS NULL OR i.published_at <= now())
ORDER BY coalesce(i.published_at, i.created_at, i.updated_at) DESC, i.item_id
LIMIT $1;

-- name: read_after_of_category
SELECT
    (extract(EPOCH FROM coalesce(i.published_at, i.created_at, i.updated_at)) * 1000000)::bigint AS since_us, i.item_id
FROM items AS i
WHERE
    i.categories @> ARRAY[$4::text]
    AND coalesce(i.published_at, i.created_at, i.updated_at) <= $2
    AND coalesce(i.published_at, i.created_at, i.updated_at) > '0001-01-01 00:00+00'
    AND (coalesce(i.published_at, i.created_at, i.updated_at) < $2 OR i.item_id > $3)
    AND NOT i.hidden AND (i.expires_at IS NULL OR i.expires_at > now())
    AND (i.published_at IS NULL OR i.published_at <= now())
ORDER BY coalesce(i.published_at, i.created_at, i.updated_at) DESC, i.item_id
LIMIT $1;

-- name: read_uncatalogued
-- Not those whose events were all taken back.
SELECT s.item_id FROM item_stats AS s
WHERE
    s.views + s.clicks + s.purchases + s.watches + s.other_events > 0
    AND NOT EXISTS (SELECT FROM items AS i WHERE i.item_id = s.item_id)
ORDER BY s.item_key DESC
LIMIT $1;

-- name: store
-- In order of ids, so that two bulk writes of the same items never deadlock. An unchanged row is not
-- written and not returned. $9 names the fields to keep. $10: attributes besides these keep their values; NULL: none
-- does. xmax is 0 for a row that is new.
INSERT INTO items AS i (item_id, title, categories, tags, published_at, expires_at, hidden, attributes)
SELECT
    n.item_id, n.title, ARRAY(SELECT jsonb_array_elements_text(n.categories)),
    ARRAY(SELECT jsonb_array_elements_text(n.tags)), n.published_at, n.expires_at, n.hidden,
    n.attributes
FROM unnest(
    $1::text[], $2::text[], $3::jsonb[], $4::jsonb[], $5::timestamptz[], $6::timestamptz[], $7::boolean[],
    $8::jsonb[]
) AS n (item_id, title, categories, tags, published_at, expires_at, hidden, attributes)
ORDER BY n.item_id
ON CONFLICT (item_id) DO UPDATE SET
    title = CASE WHEN 'title' = ANY ($9::text[]) THEN i.title ELSE excluded.title END,
    categories = CASE WHEN 'categories' = ANY ($9::text[]) THEN i.categories ELSE excluded.categories END,
    tags = CASE WHEN 'tags' = ANY ($9::text[]) THEN i.tags ELSE excluded.tags END,
    published_at = CASE WHEN 'published_at' = ANY ($9::text[]) THEN i.published_at ELSE excluded.published_at END,
    expires_at = CASE WHEN 'expires_at' = ANY ($9::text[]) THEN i.expires_at ELSE excluded.expires_at END,
    hidden = CASE WHEN 'hidden' = ANY ($9::text[]) THEN i.hidden ELSE excluded.hidden END,
    attributes = coalesce(i.attributes - $10::text[], '{}') || excluded.attributes,
    created_at = coalesce(i.created_at, i.updated_at),
    updated_at = now()
WHERE
    ('title' <> ALL ($9::text[]) AND i.title IS DISTINCT FROM excluded.title)
    OR ('categories' <> ALL ($9::text[]) AND i.categories IS DISTINCT FROM excluded.categories)
    OR ('tags' <> ALL ($9::text[]) AND i.tags IS DISTINCT FROM excluded.tags)
    OR ('published_at' <> ALL ($9::text[]) AND i.published_at IS DISTINCT FROM excluded.published_at)
    OR ('expires_at' <> ALL ($9::text[]) AND i.expires_at IS DISTINCT FROM excluded.expires_at)
    OR ('hidden' <> ALL ($9::text[]) AND i.hidden IS DISTINCT FROM excluded.hidden)
    OR i.attributes IS DISTINCT FROM coalesce(i.attributes - $10::text[], '{}') || excluded.attributes
RETURNING i.item_id, (i.xmax = 0) AS created;

-- name: read
SELECT
    item_id, title, categories, tags, published_at, expires_at, hidden, attributes::text AS attributes, updated_at
FROM items
WHERE item_id = $1;

-- name: read_locked
SELECT
    item_id, title, categories, tags, published_at, expires_at, hidden, attributes::text AS attributes, updated_at
FROM items
WHERE item_id = $1
FOR UPDATE;

-- name: delete
DELETE FROM items WHERE item_id = $1 RETURNING item_id;

-- name: read_newest_to_come
-- Also those that are to be published later.
SELECT item_id FROM items
WHERE NOT hidden AND (expires_at IS NULL OR expires_at > now())
ORDER BY coalesce(published_at, created_at, updated_at) DESC, item_id
LIMIT $1;

-- name: read_content
-- $2: more events than that need not be told apart.
SELECT
    i.item_id, i.title, i.categories, i.tags,
    least(coalesce(s.views + s.clicks + s.watches + s.purchases + s.other_events, 0), $2)::integer AS events,
    unix_ms(coalesce(i.published_at, i.created_at, i.updated_at)) AS since_ms,
    unix_ms(i.published_at) AS published_ms,
    unix_ms(i.expires_at) AS expires_ms
FROM items AS i
LEFT JOIN item_stats AS s ON s.item_id = i.item_id
WHERE i.item_id = ANY ($1::text[]) AND NOT i.hidden AND (i.expires_at IS NULL OR i.expires_at > now());

-- name: read_filterable
SELECT
    item_id, title, categories, tags, nullif(attributes::text, '{}') AS attributes,
    unix_ms(coalesce(published_at, created_at, updated_at)) AS since_ms,
    unix_ms(published_at) AS published_ms,
    unix_ms(expires_at) AS expires_ms
FROM items
WHERE item_id = ANY ($1::text[]) AND NOT hidden AND (expires_at IS NULL OR expires_at > now());

-- name: list_items
-- Of the whole catalogue, as `read_after` goes through those that may be served.
SELECT
    (extract(EPOCH FROM coalesce(i.published_at, i.created_at, i.updated_at)) * 1000000)::bigint AS since_us,
    i.item_id, i.title, i.categories, i.tags, i.published_at, i.expires_at, i.hidden, i.attributes::text AS attributes,
    i.updated_at
FROM items AS i
WHERE
    coalesce(i.published_at, i.created_at, i.updated_at) <= $2
    AND coalesce(i.published_at, i.created_at, i.updated_at) > '0001-01-01 00:00+00'
    AND (coalesce(i.published_at, i.created_at, i.updated_at) < $2 OR i.item_id > $3)
ORDER BY coalesce(i.published_at, i.created_at, i.updated_at) DESC, i.item_id
LIMIT $1;

-- name: list_items_of_category
SELECT
    (extract(EPOCH FROM coalesce(i.published_at, i.created_at, i.updated_at)) * 1000000)::bigint AS since_us,
    i.item_id, i.title, i.categories, i.tags, i.published_at, i.expires_at, i.hidden, i.attributes::text AS attributes,
    i.updated_at
FROM items AS i
WHERE
    i.categories @> ARRAY[$4::text]
    AND coalesce(i.published_at, i.created_at, i.updated_at) <= $2
    AND coalesce(i.published_at, i.created_at, i.updated_at) > '0001-01-01 00:00+00'
    AND (coalesce(i.published_at, i.created_at, i.updated_at) < $2 OR i.item_id > $3)
ORDER BY coalesce(i.published_at, i.created_at, i.updated_at) DESC, i.item_id
LIMIT $1;

-- name: list_items_by_title
-- $4: words that a title must have, as a query of text search. $5: a category, or NULL.
SELECT
    (extract(EPOCH FROM coalesce(i.published_at, i.created_at, i.updated_at)) * 1000000)::bigint AS since_us,
    i.item_id, i.title, i.categories, i.tags, i.published_at, i.expires_at, i.hidden, i.attributes::text AS attributes,
    i.updated_at
FROM items AS i
WHERE
    title_words(i.title) @@ to_tsquery('simple', $4)
    AND ($5::text IS NULL OR i.categories @> ARRAY[$5::text])
    AND coalesce(i.published_at, i.created_at, i.updated_at) <= $2
    AND coalesce(i.published_at, i.created_at, i.updated_at) > '0001-01-01 00:00+00'
    AND (coalesce(i.published_at, i.created_at, i.updated_at) < $2 OR i.item_id > $3)
ORDER BY coalesce(i.published_at, i.created_at, i.updated_at) DESC, i.item_id
LIMIT $1;

-- name: delete_many
DELETE FROM items WHERE item_id = ANY (
    ARRAY(SELECT item_id FROM items WHERE item_id = ANY ($1::text[]) ORDER BY item_id FOR UPDATE)
) RETURNING item_id;
