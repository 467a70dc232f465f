-- name: oldest_transaction
SELECT coalesce(extract(EPOCH FROM now() - min(xact_start)), 0)::float8
FROM pg_stat_activity
WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid();

-- name: dead_rows
SELECT relname, n_dead_tup FROM pg_stat_user_tables WHERE schemaname = current_schema();
