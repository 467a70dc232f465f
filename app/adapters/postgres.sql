-- name: set_what_is_known
-- For the session; a name that this release of the server does not have is no error.
SELECT set_config(s.name, w.value, false)
FROM unnest($1::text[], $2::text[]) AS w (name, value)
JOIN pg_settings AS s USING (name);
