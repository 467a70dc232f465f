-- Items of a category, and items in the order of their age, at any size of the catalogue.
-- depends: 0060.items-created

-- The first is updated at once: with a list of pending entries, a reader would pay for the writers.
CREATE INDEX items_categories ON items USING gin (categories) WITH (fastupdate = off);
CREATE INDEX items_newest ON items (coalesce(published_at, created_at, updated_at) DESC, item_id);
CREATE INDEX items_came ON items (greatest(published_at, coalesce(created_at, updated_at)));
