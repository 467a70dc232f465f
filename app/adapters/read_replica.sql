-- name: position
-- Which database this is, the same on all of its streaming replicas, and how far its log is written or replayed.
SELECT
    concat_ws(' ', (SELECT system_identifier FROM pg_control_system()), current_database()) AS cluster,
    (
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0'::pg_lsn
    )::bigint AS position;

-- name: paused
SELECT CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE FALSE END;

-- name: seen
SELECT (
    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0'::pg_lsn
)::bigint;
