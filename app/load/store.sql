-- name: count_events
-- Reads only enough to tell an empty table from one in use.
SELECT count(*) FROM (SELECT 1 FROM events LIMIT 1) AS first;

-- name: count_outbox
SELECT count(*) FROM event_outbox WHERE status = 'pending';

-- name: count_unconsumed
-- Both tables hold an event id once; dead letters count as consumed.
SELECT
    (SELECT count(*) FROM events)
    - (SELECT count(*) FROM feature_event_consumed)
    - (SELECT count(*) FROM feature_consumer_dlq WHERE status = 'pending');

-- name: event_ids
SELECT event_id FROM events WHERE starts_with(event_id, %(prefix)s);

-- name: consumed_ids
SELECT event_id FROM feature_event_consumed WHERE starts_with(event_id, %(prefix)s);

-- name: totals
-- What was counted, and what should be counted, for a database with no other writers.
SELECT
    counted.name,
    counted.value::bigint AS counted,
    stored.value AS stored
FROM (
    SELECT
        sum(views) AS view, sum(clicks) AS click, sum(purchases) AS purchase, sum(watches) AS watch,
        sum(impressions) AS shown
    FROM item_stats
) AS s
CROSS JOIN LATERAL (
    VALUES ('view', s.view), ('click', s.click), ('purchase', s.purchase), ('watch', s.watch), ('impression', s.shown)
) AS counted (name, value)
LEFT JOIN (
    SELECT
        event_type AS name,
        sum(CASE event_type WHEN 'impression' THEN jsonb_array_length(payload -> 'items') ELSE 1 END) AS value
    FROM events
    GROUP BY event_type
) AS stored USING (name);

-- name: refused_rows
SELECT
    (SELECT count(*) FROM event_outbox WHERE status = 'dead') AS dead,
    (SELECT count(*) FROM feature_consumer_dlq WHERE status = 'pending') AS dead_letters;

-- name: table_sizes
SELECT c.relname, pg_table_size(c.oid), pg_indexes_size(c.oid), s.n_live_tup, s.n_dead_tup
FROM pg_stat_user_tables AS s
JOIN pg_class AS c ON c.oid = s.relid
WHERE s.schemaname = current_schema()
ORDER BY pg_total_relation_size(c.oid) DESC, c.relname;
