-- The last erasure, and those since another one, are found however many users were ever erased.
-- transactional: false
-- depends: 0164.find-by-key

-- Built while the service runs. What an interrupted attempt has left goes first.
DROP INDEX CONCURRENTLY IF EXISTS user_erasures_number;
CREATE INDEX CONCURRENTLY user_erasures_number ON user_erasures (number);
