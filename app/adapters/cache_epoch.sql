-- name: current
SELECT
    (
        SELECT
            held.epoch || CASE
                WHEN held.redis = 'redis-cluster' THEN (
                    SELECT string_agg(coalesce(s.epoch, '\x00000000000000000000000000000000'), ''::bytea ORDER BY g.slot_group)
                    FROM generate_series(0, 63) AS g (slot_group)
                    LEFT JOIN cache_slot_epochs AS s ON s.slot_group = g.slot_group AND s.cache_epoch = held.epoch
                )
                ELSE ''::bytea
            END
        FROM cache_epoch AS held
    ) AS epoch,
    (SELECT generation FROM feature_generations WHERE state = 'serving') AS generation,
    EXISTS (SELECT FROM cache_epoch WHERE redis <> '') AS read_from_redis;

-- name: renew
INSERT INTO cache_epoch AS e (epoch, redis, postgres) VALUES (uuid_send(gen_random_uuid()), '', '')
ON CONFLICT (single) DO UPDATE SET epoch = excluded.epoch
RETURNING epoch;

-- name: disown
-- The next process that uses Redis makes another one. Whoever writes next finds it done.
UPDATE cache_epoch SET epoch = uuid_send(gen_random_uuid()), redis = '' WHERE redis <> '';

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

-- name: confirm_slots
-- Given: slot groups, their servers, and the epoch of the whole cache, without which those of groups do not count.
WITH seen AS (
    SELECT slot_group, redis FROM unnest($1::int[], $2::text[]) AS s (slot_group, redis)
),
renewed AS (
    INSERT INTO cache_slot_epochs AS e (slot_group, epoch, redis, cache_epoch)
    SELECT slot_group, uuid_send(gen_random_uuid()), redis, $3 FROM seen
    WHERE NOT EXISTS (
        SELECT FROM cache_slot_epochs AS held
        WHERE held.slot_group = seen.slot_group AND held.redis = seen.redis AND held.cache_epoch = $3
    )
    ORDER BY slot_group
    ON CONFLICT (slot_group) DO UPDATE
    SET epoch = excluded.epoch, redis = excluded.redis, cache_epoch = excluded.cache_epoch
    WHERE e.redis <> excluded.redis OR e.cache_epoch <> excluded.cache_epoch
    RETURNING slot_group, epoch
)
SELECT slot_group, held.epoch, FALSE AS changed
FROM cache_slot_epochs AS held JOIN seen USING (slot_group, redis)
WHERE held.cache_epoch = $3
UNION ALL
SELECT renewed.slot_group, renewed.epoch, held.redis IS NOT NULL AND held.redis <> seen.redis
FROM renewed JOIN seen USING (slot_group)
LEFT JOIN cache_slot_epochs AS held USING (slot_group);

-- name: forget_slots
WITH locked AS (
    SELECT slot_group FROM cache_slot_epochs WHERE slot_group = ANY($1::int[]) ORDER BY slot_group FOR UPDATE
)
DELETE FROM cache_slot_epochs WHERE slot_group IN (SELECT slot_group FROM locked);
