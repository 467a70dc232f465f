-- name: serving
SELECT generation, parameters::text, removals FROM feature_generations WHERE state = 'serving';

-- name: begin_first
-- Nothing where another process was first.
INSERT INTO feature_generations (generation, state, parameters)
SELECT coalesce(max(generation), 0) + 1, 'serving', $1::text::jsonb FROM feature_generations
ON CONFLICT DO NOTHING;

-- name: building
SELECT generation, parameters::text, progress::text FROM feature_generations WHERE state = 'building';

-- name: begin_building
INSERT INTO feature_generations (generation, state, parameters, progress)
SELECT max(generation) + 1, 'building', $1::text::jsonb, $2::text::jsonb FROM feature_generations;

-- name: set_progress
UPDATE feature_generations SET progress = $1::text::jsonb WHERE state = 'building';

-- name: drop_building
DELETE FROM feature_generations WHERE state = 'building';

-- name: retire
UPDATE feature_generations SET state = 'retired' WHERE state = 'serving';

-- name: serve
-- Removals go on from the generation before, so that no number means other keys than the one that a process has seen.
UPDATE feature_generations
SET
    state = 'serving',
    swapped_at = clock_timestamp(),
    progress = '{}',
    removals = (SELECT max(g.removals) + 1 FROM feature_generations AS g)
WHERE state = 'building';
