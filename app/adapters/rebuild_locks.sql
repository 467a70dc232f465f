-- name: try_alone
-- One rebuild at a time; the lock goes with the session.
SELECT pg_try_advisory_lock(7236353);

-- name: stop_counting
-- Waits until every transaction that counts has ended; none begins before this one ends.
SELECT pg_advisory_xact_lock(7236352);

-- name: hold_erasures
SELECT pg_advisory_xact_lock_shared(7236354);

-- name: await_histories
-- Alone for a moment: once every transaction has ended that holds it.
SELECT pg_advisory_xact_lock(7236354);

-- name: end_vacuums
-- Readers and writers of the tables go on, and wait for nobody.
LOCK TABLE
    user_history, item_stats, item_pairs,
    reco_building.user_history, reco_building.item_stats, reco_building.item_pairs
IN SHARE UPDATE EXCLUSIVE MODE;

-- name: lock_new_tables
-- Erasures remove histories from them.
LOCK TABLE reco_building.user_history, reco_building.item_stats, reco_building.item_pairs IN ACCESS EXCLUSIVE MODE;

-- name: lock_tables
-- In the order in which the consumer locks them. Whoever reads or creates items waits, and finds the new tables then.
LOCK TABLE user_history, item_stats, item_pairs IN ACCESS EXCLUSIVE MODE;
