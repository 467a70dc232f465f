-- name: read
SELECT backend, chosen_by, chosen_at FROM cache_choice;

-- name: choose
INSERT INTO cache_choice (backend, chosen_by) VALUES (%(backend)s, %(by)s)
ON CONFLICT (single) DO UPDATE SET backend = excluded.backend, chosen_by = excluded.chosen_by, chosen_at = now();

-- name: leave_to_settings
DELETE FROM cache_choice;
