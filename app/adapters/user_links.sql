-- name: missing
-- Of these pairs, those that have no row. One that was undone has its row.
SELECT p.anonymous_id, p.user_id
FROM unnest(string_to_array($1, chr(31), ''), string_to_array($2, chr(31), '')) AS p (anonymous_id, user_id)
LEFT JOIN user_links AS l USING (user_id, anonymous_id)
WHERE l.user_id IS NULL;

-- name: make
-- Not beyond $3 links of either id. $4: whether a link that was undone is made again.
INSERT INTO user_links AS l (anonymous_id, user_id)
SELECT $1, $2
WHERE
    EXISTS (SELECT FROM user_links WHERE user_id = $2 AND anonymous_id = $1 AND undone_at IS NULL)
    OR (
        (SELECT count(*) FROM user_links WHERE user_id = $2 AND undone_at IS NULL) < $3
        AND (SELECT count(*) FROM user_links WHERE anonymous_id = $1 AND undone_at IS NULL) < $3
    )
ON CONFLICT (user_id, anonymous_id) DO UPDATE SET undone_at = NULL, linked_at = clock_timestamp()
WHERE l.undone_at IS NOT NULL AND $4
RETURNING link_id;

-- name: find
SELECT link_id, linked_at, undone_at, linked_at > clock_timestamp() - make_interval(secs => $3) AS may_be_undone
FROM user_links
WHERE anonymous_id = $1 AND user_id = $2;

-- name: undo
UPDATE user_links SET undone_at = clock_timestamp() WHERE anonymous_id = $1 AND user_id = $2;

-- name: joined
SELECT user_id, array_agg(anonymous_id ORDER BY anonymous_id)
FROM user_links
WHERE user_id = ANY (string_to_array($1, chr(31), '')) AND undone_at IS NULL
GROUP BY user_id;

-- name: all_joined
-- The ids that are joined into each of these users', be it by way of others.
WITH RECURSIVE ids (user_id, id) AS (
    SELECT user_id, anonymous_id
    FROM user_links
    WHERE user_id = ANY (string_to_array($1, chr(31), '')) AND undone_at IS NULL
    UNION
    SELECT i.user_id, l.anonymous_id FROM user_links AS l JOIN ids AS i ON l.user_id = i.id WHERE l.undone_at IS NULL
)
SELECT user_id, array_agg(id ORDER BY id)
FROM ids
GROUP BY user_id;

-- name: of_user
SELECT anonymous_id, user_id, linked_at
FROM user_links
WHERE (user_id = $1 OR anonymous_id = $1) AND undone_at IS NULL
ORDER BY linked_at, link_id;

-- name: around
-- The links among all ids that reach one of the accounts that $1 reaches.
WITH RECURSIVE accounts (id) AS (
    SELECT $1::text
    UNION
    SELECT l.user_id FROM user_links AS l JOIN accounts AS a ON l.anonymous_id = a.id WHERE l.undone_at IS NULL
),
ids (id) AS (
    SELECT id FROM accounts
    UNION
    SELECT l.anonymous_id FROM user_links AS l JOIN ids AS i ON l.user_id = i.id WHERE l.undone_at IS NULL
)
SELECT l.anonymous_id, l.user_id
FROM user_links AS l
JOIN ids AS i ON l.user_id = i.id
WHERE l.undone_at IS NULL;

-- name: reached
-- Of these pairs of a user and another id, those where the id is joined into the user's, be it by way of others.
WITH RECURSIVE asked AS (
    SELECT user_id, other
    FROM unnest(string_to_array($1, chr(31), ''), string_to_array($2, chr(31), '')) AS p (user_id, other)
),
ids (user_id, id) AS (
    SELECT user_id, user_id FROM asked
    UNION
    SELECT i.user_id, l.anonymous_id FROM user_links AS l JOIN ids AS i ON l.user_id = i.id WHERE l.undone_at IS NULL
)
SELECT DISTINCT user_id, other FROM asked AS a JOIN ids AS i USING (user_id) WHERE i.id = a.other;

-- name: accounts_of
SELECT DISTINCT user_id FROM user_links WHERE anonymous_id = ANY ($1::text[]) AND undone_at IS NULL;

-- name: forget
DELETE FROM user_links WHERE user_id = ANY ($1::text[]) OR anonymous_id = ANY ($1::text[]);
