-- name: queued
SELECT event_id FROM event_outbox WHERE status = 'pending' ORDER BY id;
