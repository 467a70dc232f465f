-- When an item came into the catalogue: what has no published_at is as new as that.
-- depends: 0050.dead-letter-outcomes

-- Rows from before have none, and count from their last update: filling them in would lock the catalogue, and announce
-- every item as changed. The default comes second, as it would otherwise be the time of this migration for all of them.
ALTER TABLE items ADD COLUMN created_at timestamptz;
ALTER TABLE items ALTER COLUMN created_at SET DEFAULT now();
