-- Nothing has written `stale_history` since the cache has an epoch, in 0.2.0. Rows of before that could name erased users.
-- depends: 0156.erase-in-retired

DROP TABLE stale_history;
