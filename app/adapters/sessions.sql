-- name: remember
-- Most sessions of a batch are known already: the conflict is found in the index, and nothing is written.
INSERT INTO sessions (session_id, user_id, started_ms)
SELECT s.session_id, s.user_id, s.started_ms
FROM unnest(string_to_array($1, chr(31), ''), string_to_array($2, chr(31), ''), $3::text::bigint[]) AS s (session_id, user_id, started_ms)
WHERE s.started_ms > (extract(EPOCH FROM now()) * 1000)::bigint - $4::bigint
ORDER BY s.session_id
ON CONFLICT (session_id) DO NOTHING;

-- name: read
SELECT session_id, user_id, started_ms FROM sessions WHERE session_id = ANY ($1::text[]);

-- name: erase
DELETE FROM sessions WHERE user_id = ANY ($1::text[]);
