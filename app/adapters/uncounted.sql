-- Accepted events that have no dedupe row and are not known to be given up, as a dead row or a dead letter is.

-- name: received_between
-- At most $3 of those received from $1 to before $2.
SELECT e.event_id
FROM events AS e
WHERE
    e.received_at >= $1 AND e.received_at < $2
    AND NOT EXISTS (SELECT FROM feature_event_consumed AS c WHERE c.event_id = e.event_id)
    AND NOT EXISTS (
        SELECT FROM event_outbox AS o WHERE o.event_id = e.event_id AND o.status IN ('dead', 'discarded')
    )
    AND NOT EXISTS (SELECT FROM feature_consumer_dlq AS d WHERE d.event_id = e.event_id AND d.status <> 'replayed')
LIMIT $3;

-- name: still
-- Those of these events that are still not counted.
SELECT e.event_id
FROM events AS e
WHERE
    e.event_id = ANY ($1::text[])
    AND NOT EXISTS (SELECT FROM feature_event_consumed AS c WHERE c.event_id = e.event_id)
    AND NOT EXISTS (
        SELECT FROM event_outbox AS o WHERE o.event_id = e.event_id AND o.status IN ('dead', 'discarded')
    )
    AND NOT EXISTS (SELECT FROM feature_consumer_dlq AS d WHERE d.event_id = e.event_id AND d.status <> 'replayed');

-- name: now
SELECT now();
