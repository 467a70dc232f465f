-- name: behind
-- `is_called` is false for a sequence that has not given its first number yet.
SELECT s.table_name
FROM (
    SELECT 'event_outbox' AS table_name, (SELECT max(id) FROM event_outbox) AS highest, last_value, is_called
    FROM event_outbox_id_seq
    UNION ALL
    SELECT 'feature_consumer_dlq', (SELECT max(id) FROM feature_consumer_dlq), last_value, is_called
    FROM feature_consumer_dlq_id_seq
    UNION ALL
    SELECT 'feature_changes', (SELECT max(id) FROM feature_changes), last_value, is_called
    FROM feature_changes_id_seq
    UNION ALL
    SELECT 'item_stats', (SELECT max(item_key) FROM item_stats), last_value, is_called
    FROM item_stats_item_key_seq
    UNION ALL
    SELECT 'user_erasures', coalesce((SELECT max(number) FROM user_erasures), 0), last_value, is_called
    FROM erasure_numbers
    UNION ALL
    SELECT 'rule_changes', (SELECT max(change_id) FROM rule_changes), last_value, is_called
    FROM rule_changes_change_id_seq
    UNION ALL
    SELECT
        'experiments', greatest((SELECT max(run) FROM experiments), (SELECT max(run) FROM experiment_users)),
        last_value, is_called
    FROM experiments_run_seq
    UNION ALL
    SELECT 'ranking_models', (SELECT max(version) FROM ranking_models), last_value, is_called
    FROM ranking_models_version_seq
) AS s
WHERE s.highest > s.last_value OR (s.highest = s.last_value AND NOT s.is_called);

-- name: refused
-- Those of the above that this user may not read or set.
SELECT s.name
FROM unnest(ARRAY[
    'event_outbox_id_seq', 'feature_consumer_dlq_id_seq', 'feature_changes_id_seq', 'item_stats_item_key_seq',
    'erasure_numbers', 'rule_changes_change_id_seq', 'experiments_run_seq', 'ranking_models_version_seq'
]) AS s (name)
WHERE NOT (has_sequence_privilege(s.name, 'SELECT') AND has_sequence_privilege(s.name, 'UPDATE'));

-- name: advance_event_outbox
-- The lock keeps inserts from taking numbers meanwhile, so that the sequence cannot be set back.
LOCK TABLE event_outbox IN SHARE ROW EXCLUSIVE MODE;
SELECT setval('event_outbox_id_seq', max(id)) FROM event_outbox
HAVING max(id) >= (SELECT last_value FROM event_outbox_id_seq);

-- name: advance_feature_consumer_dlq
LOCK TABLE feature_consumer_dlq IN SHARE ROW EXCLUSIVE MODE;
SELECT setval('feature_consumer_dlq_id_seq', max(id)) FROM feature_consumer_dlq
HAVING max(id) >= (SELECT last_value FROM feature_consumer_dlq_id_seq);

-- name: advance_feature_changes
LOCK TABLE feature_changes IN SHARE ROW EXCLUSIVE MODE;
SELECT setval('feature_changes_id_seq', max(id)) FROM feature_changes
HAVING max(id) >= (SELECT last_value FROM feature_changes_id_seq);

-- name: advance_item_stats
LOCK TABLE item_stats IN SHARE ROW EXCLUSIVE MODE;
SELECT setval('item_stats_item_key_seq', max(item_key)) FROM item_stats
HAVING max(item_key) >= (SELECT last_value FROM item_stats_item_key_seq);

-- name: advance_user_erasures
LOCK TABLE user_erasures IN SHARE ROW EXCLUSIVE MODE;
-- Also without any erasure: 0 is the number of none. Rows may have the number of an erasure that this server has lost or
-- never got, so that the next one takes a number well beyond.
SELECT setval('erasure_numbers', coalesce(max(number), 0) + 1000) FROM user_erasures
HAVING coalesce(max(number), 0) >= (SELECT last_value FROM erasure_numbers);

-- name: advance_rule_changes
LOCK TABLE rule_changes IN SHARE ROW EXCLUSIVE MODE;
SELECT setval('rule_changes_change_id_seq', max(change_id)) FROM rule_changes
HAVING max(change_id) >= (SELECT last_value FROM rule_changes_change_id_seq);

-- name: advance_experiments
-- Users of an experiment that is gone must not count for another one.
LOCK TABLE experiments IN SHARE ROW EXCLUSIVE MODE;
SELECT setval('experiments_run_seq', r.highest)
FROM (SELECT greatest((SELECT max(run) FROM experiments), (SELECT max(run) FROM experiment_users)) AS highest) AS r
WHERE r.highest >= (SELECT last_value FROM experiments_run_seq);

-- name: advance_ranking_models
LOCK TABLE ranking_models IN SHARE ROW EXCLUSIVE MODE;
SELECT setval('ranking_models_version_seq', max(version)) FROM ranking_models
HAVING max(version) >= (SELECT last_value FROM ranking_models_version_seq);
