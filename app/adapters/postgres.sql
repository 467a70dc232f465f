-- name: now
SELECT clock_timestamp();

-- name: probe
SELECT
    current_setting('transaction_read_only') = 'on',
    (extract(EPOCH FROM clock_timestamp()) * 1000)::bigint,
    pg_postmaster_start_time();

-- name: set_what_is_known
-- For the session; names that this server does not have are ignored.
SELECT set_config(s.name, w.value, false)
FROM unnest($1::text[], $2::text[]) AS w (name, value)
JOIN pg_settings AS s USING (name);
