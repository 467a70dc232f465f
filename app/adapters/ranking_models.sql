-- name: read_choice
SELECT
    m.version, m.created_at, m.weights, m.origin, m.reason AS made_because, m.figures,
    c.pinned, c.reason, c.changed_at
FROM ranking_choice AS c
JOIN ranking_models AS m USING (version);

-- name: read_models
-- Newest first.
SELECT version, created_at, weights, origin, reason, figures, served_at, withdrawn_at
FROM ranking_models
ORDER BY version DESC
LIMIT $1;

-- name: read_model
SELECT version, created_at, weights, origin, reason, figures, served_at, withdrawn_at
FROM ranking_models
WHERE version = $1;

-- name: read_weights
SELECT version, weights FROM ranking_models WHERE version = ANY ($1::integer[]);

-- name: read_before
-- What served last before this version, of what was not withdrawn.
SELECT version, created_at, weights, origin, reason, figures, served_at, withdrawn_at
FROM ranking_models
WHERE version <> $1 AND served_at IS NOT NULL AND withdrawn_at IS NULL
ORDER BY served_at DESC, version DESC
LIMIT 1;

-- name: read_constants
-- The newest version that is a release's constants.
SELECT version, weights FROM ranking_models WHERE origin = 'start' ORDER BY version DESC LIMIT 1;

-- name: lock_choice
SELECT version, pinned FROM ranking_choice FOR UPDATE;

-- name: add
INSERT INTO ranking_models (weights, origin, reason, figures) VALUES ($1::jsonb, $2, $3, $4::jsonb) RETURNING version;

-- name: withdraw
UPDATE ranking_models SET withdrawn_at = now() WHERE version = $1;

-- name: serve
WITH chosen AS (
    UPDATE ranking_choice
    SET version = $1, reason = $2, changed_at = CASE WHEN version = $1 THEN changed_at ELSE now() END
)
UPDATE ranking_models
SET
    served_at = CASE WHEN (SELECT c.version FROM ranking_choice AS c) = $1 THEN served_at ELSE now() END,
    withdrawn_at = NULL
WHERE version = $1;

-- name: pin
UPDATE ranking_choice SET pinned = $1;

-- name: note_named
UPDATE ranking_models SET named_at = now()
WHERE version = ANY ($1::integer[]) AND (named_at IS NULL OR named_at < now() - make_interval(days => 1));

-- name: prune
-- The oldest versions beyond the newest $1, apart from those that something still names: the choice, the setting VARIANTS
-- of a process in the last $2 days, an experiment.
DELETE FROM ranking_models AS m
WHERE
    m.version <= (SELECT version FROM ranking_models ORDER BY version DESC LIMIT 1 OFFSET $1)
    AND m.origin = 'learned'
    AND m.version <> (SELECT c.version FROM ranking_choice AS c)
    AND (m.named_at IS NULL OR m.named_at < now() - make_interval(days => $2))
    AND NOT EXISTS (
        SELECT FROM experiments AS e
        WHERE e.definition -> 'variants' @> jsonb_build_array(jsonb_build_object('model', m.version))
    );

-- name: read_learner
SELECT
    restarts, start_from, state, report, updated_at,
    EXISTS (
        SELECT FROM pg_locks
        WHERE
            locktype = 'advisory' AND granted AND classid = 0 AND objid = $1 AND objsubid = 1
            AND database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    ) AS is_held
FROM ranking_learner;

-- name: save_learner
UPDATE ranking_learner SET state = $2, report = $3, updated_at = now() WHERE restarts = $1 RETURNING restarts;

-- name: restart_learner
UPDATE ranking_learner SET restarts = restarts + 1, start_from = $1, state = NULL, report = NULL;

-- name: end_when_frozen
SET idle_session_timeout = '15s';

-- name: take_lock
SELECT pg_try_advisory_lock($1);

-- name: free_lock
SELECT pg_advisory_unlock($1);
