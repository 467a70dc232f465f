-- name: record
INSERT INTO audit_log (actor, action, targets, outcome, count, request_id) VALUES ($1, $2, $3, $4, $5, $6);

-- name: record_of_command
INSERT INTO audit_log (actor, action, targets, outcome, count)
VALUES (%(actor)s, %(action)s, %(targets)s, %(outcome)s, 1);

-- name: exposed_keys
SELECT DISTINCT actor
FROM audit_log
WHERE action = 'expose_key' AND recorded_at > now() - interval '7 days'
ORDER BY actor;

-- name: find
SELECT recorded_at, actor, action, targets, outcome, count, request_id
FROM audit_log
WHERE
    (%(actor)s::text IS NULL OR actor = %(actor)s)
    AND (%(action)s::text IS NULL OR action = %(action)s)
    AND (%(target)s::text IS NULL OR %(target)s = ANY (targets))
    AND (%(newer_sec)s::float8 IS NULL OR recorded_at > now() - make_interval(secs => %(newer_sec)s))
ORDER BY recorded_at DESC
LIMIT %(limit)s;
