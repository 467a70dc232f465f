-- name: loaded
SELECT EXISTS (SELECT FROM events WHERE event_id = $1);

-- name: date_experiment
-- It was started and ended just now; the visits that it counts are of the days before.
UPDATE experiments SET started_at = $2, stage_at = $2, ended_at = $3 WHERE name = $1;

-- name: add_experiment_users
INSERT INTO experiment_users (run, user_id, variant, exposed_at, shown, clicked, purchases)
SELECT x.run, u.*
FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::bigint[], $6::bigint[], $7::bigint[]) AS u
CROSS JOIN experiments AS x
WHERE x.name = $1;
