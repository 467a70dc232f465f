-- name: current_and_generation
SELECT
    (SELECT epoch FROM cache_epoch) AS epoch,
    (SELECT generation FROM feature_generations WHERE state = 'serving') AS generation;

-- name: renew
INSERT INTO cache_epoch AS e (epoch, redis, postgres) VALUES (uuid_send(gen_random_uuid()), '', '')
ON CONFLICT (single) DO UPDATE SET epoch = excluded.epoch
RETURNING epoch;

-- name: confirm
-- What identifies Postgres changes with a restart, a promoted standby, another database and a restored table.
WITH here AS (
    SELECT
        concat_ws(
            ' ',
            extract(EPOCH FROM pg_postmaster_start_time()),
            (SELECT oid FROM pg_database WHERE datname = current_database()),
            pg_relation_filenode('user_history')
        ) AS postgres
),
renewed AS (
    INSERT INTO cache_epoch AS e (epoch, redis, postgres)
    SELECT uuid_send(gen_random_uuid()), $1, postgres FROM here
    WHERE NOT EXISTS (SELECT FROM cache_epoch AS held WHERE held.redis = $1 AND held.postgres = here.postgres)
    ON CONFLICT (single) DO UPDATE
    SET epoch = excluded.epoch, redis = excluded.redis, postgres = excluded.postgres
    WHERE e.redis <> excluded.redis OR e.postgres <> excluded.postgres
    RETURNING epoch
)
SELECT epoch, ARRAY[]::text[] AS changed FROM cache_epoch JOIN here USING (postgres) WHERE redis = $1
UNION ALL
SELECT
    renewed.epoch,
    array_remove(
        ARRAY[
            CASE WHEN held.redis NOT IN ('', $1) THEN 'redis' END,
            CASE WHEN held.postgres NOT IN ('', here.postgres) THEN 'postgres' END
        ],
        NULL
    )
FROM renewed
CROSS JOIN here
LEFT JOIN cache_epoch AS held ON TRUE;
