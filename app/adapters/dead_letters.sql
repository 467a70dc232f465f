-- name: store
-- What has no key may hold messages of a user who has been erased since: its bytes are not kept then. The time of a batch
-- is that of its first message; a relay may have held others for some seconds.
-- The errors of a replayed message go on from those of the letter that was sent again; the last ten are kept.
WITH failures AS (
    SELECT each.failure, each.number
    FROM jsonb_array_elements(
        coalesce(
            (
                SELECT errors FROM feature_consumer_dlq
                WHERE id = $17::bigint AND coalesce(event_id, 'dead-letter-' || id) = $9::text
            ),
            '[]'
        ) || (
            SELECT jsonb_agg(
                jsonb_build_object(
                    'at', now() - make_interval(secs => tried.ago_sec), 'task', 'feature-consumer',
                    'process', $20::text, 'replays', $14::integer, 'error', left(tried.error, 500)
                )
                ORDER BY tried.number
            )
            FROM unnest($18::text[], $19::float8[]) WITH ORDINALITY AS tried (error, ago_sec, number)
        )
    ) WITH ORDINALITY AS each (failure, number)
    ORDER BY each.number DESC
    LIMIT 10
)
INSERT INTO feature_consumer_dlq (
    topic, partition, record_offset, record_ts_ms, message_key, value, header_names, header_values, event_id,
    traceparent, error_kind, error, attempts, replays, erasures,
    errors
)
SELECT
    $1::text, $2::integer, $3::bigint, $4::bigint, $5::bytea,
    CASE
        WHEN $5::bytea IS NULL
            AND EXISTS (
                SELECT FROM user_erasures
                -- Any number may stand in a message of Kafka: before 1970 and after 2100 is no time of ours.
                WHERE erased_at > to_timestamp(least(greatest($4::bigint, 60000), 4102444800000) / 1000.0 - 60)
            )
            THEN NULL
        ELSE $6::bytea
    END,
    $7::text[], $8::bytea[], $9::text, $10::text,
    $11::text, $12::text, $13::integer, $14::integer, $15::integer,
    (SELECT jsonb_agg(failure ORDER BY number) FROM failures)
WHERE NOT EXISTS (SELECT FROM user_erasures WHERE user_id = $16::text AND number > $15::integer)
ON CONFLICT (topic, partition, record_offset, record_ts_ms) DO NOTHING
RETURNING topic, partition, record_offset;

-- name: holds
SELECT EXISTS (
    SELECT FROM feature_consumer_dlq
    WHERE topic = $1 AND partition = $2 AND record_offset = $3 AND record_ts_ms = $4
);

-- name: backlog
-- Each status up to $1 rows: a gauge that is asked for every few seconds must not read a large table.
SELECT
    s.status,
    (SELECT count(*) FROM (SELECT FROM feature_consumer_dlq WHERE status = s.status LIMIT $1) AS bounded) AS events,
    coalesce((
        SELECT extract(EPOCH FROM now() - created_at) * 1000
        FROM feature_consumer_dlq
        WHERE status = s.status
        ORDER BY id
        LIMIT 1
    ), 0)::float8 AS oldest_ms
FROM (VALUES ('pending'), ('replayed'), ('discarded')) AS s (status);

-- name: take_resolved
-- Each row is reported to one process; rows locked by another process are skipped.
WITH told AS (
    UPDATE feature_consumer_dlq
    SET untold = FALSE
    WHERE id IN (SELECT id FROM feature_consumer_dlq WHERE untold ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING status
)
SELECT status, count(*) FROM told GROUP BY status;
