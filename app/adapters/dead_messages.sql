-- name: page_rows
-- The filters are the same in all of these statements; NULL stands for "any".
SELECT id, status, topic, event_id, replays, attempts, failed_at AS failed_at, 'refused' AS kind, last_error AS error
FROM event_outbox
WHERE status = $1
    AND id > $5
    AND ($2::text IS NULL OR topic = $2)
    AND ($3::text IS NULL OR strpos(lower(coalesce(last_error, '')), lower($3)) > 0)
    AND ($4::text IS NULL OR event_id = $4)
ORDER BY id
LIMIT $6;

-- name: page_letters
SELECT id, status, topic, event_id, replays, attempts, created_at AS failed_at, error_kind AS kind, error
FROM feature_consumer_dlq
WHERE status = $1
    AND id > $5
    AND ($2::text IS NULL OR topic = $2)
    AND ($3::text IS NULL OR strpos(lower(error), lower($3)) > 0)
    AND ($4::text IS NULL OR event_id = $4)
ORDER BY id
LIMIT $6;

-- name: count_rows
SELECT count(*)
FROM (
    SELECT
    FROM event_outbox
    WHERE status = $1
        AND ($2::text IS NULL OR topic = $2)
        AND ($3::text IS NULL OR strpos(lower(coalesce(last_error, '')), lower($3)) > 0)
        AND ($4::text IS NULL OR event_id = $4)
    LIMIT $5
) AS bounded;

-- name: count_letters
SELECT count(*)
FROM (
    SELECT
    FROM feature_consumer_dlq
    WHERE status = $1
        AND ($2::text IS NULL OR topic = $2)
        AND ($3::text IS NULL OR strpos(lower(error), lower($3)) > 0)
        AND ($4::text IS NULL OR event_id = $4)
    LIMIT $5
) AS bounded;
