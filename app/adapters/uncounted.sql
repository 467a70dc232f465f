-- name: uncounted
-- Those of the events received from $1 to before $2, and of these ($3), that have no dedupe row and are not known to be
-- given up, as a dead row or a dead letter is. At most $4.
WITH looked_at AS (
    SELECT event_id FROM events WHERE received_at >= $1 AND received_at < $2
    UNION ALL
    SELECT event_id FROM events WHERE event_id = ANY ($3::text[])
)
SELECT e.event_id
FROM looked_at AS e
WHERE
    NOT EXISTS (SELECT FROM feature_event_consumed AS c WHERE c.event_id = e.event_id)
    AND NOT EXISTS (
        SELECT FROM event_outbox AS o WHERE o.event_id = e.event_id AND o.status IN ('dead', 'discarded')
    )
    AND NOT EXISTS (SELECT FROM feature_consumer_dlq AS d WHERE d.event_id = e.event_id AND d.status <> 'replayed')
LIMIT $4;
