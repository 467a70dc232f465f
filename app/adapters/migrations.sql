-- name: waits_for
-- The transactions that a process of Postgres waits for. Of other users' ones only those may see the time who may read all
-- statistics.
SELECT a.pid, a.usename, a.application_name, extract(EPOCH FROM clock_timestamp() - a.xact_start)::integer
FROM unnest(pg_blocking_pids(%(pid)s)) AS b (pid)
JOIN pg_stat_activity AS a USING (pid);

-- name: take_time
-- Long statements: a limit that the role or the database has is for those of the service. Names that this server does not
-- have are ignored.
SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout');

-- name: migration_waits
-- What a session that migrates this database waits for, and who holds it.
SELECT coalesce('the table ' || l.relation::regclass, 'a lock'), a.pid, a.usename, a.application_name
FROM pg_stat_activity AS m
CROSS JOIN LATERAL unnest(pg_blocking_pids(m.pid)) AS b (pid)
JOIN pg_stat_activity AS a ON a.pid = b.pid
LEFT JOIN pg_locks AS l ON l.pid = m.pid AND NOT l.granted
WHERE m.datname = current_database() AND m.application_name = $1
ORDER BY m.backend_start, a.xact_start
LIMIT 1;
