-- How much of an item's frequency comes from users who had it already: only such items are offered to them again.
-- depends: 0021.replays

ALTER TABLE item_stats ADD COLUMN returns float8 NOT NULL DEFAULT 0;
