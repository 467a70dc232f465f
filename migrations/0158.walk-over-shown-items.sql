-- How far the walk is that removes items which have not been shown for long.
-- depends: 0157.no-stale-history

INSERT INTO table_walks (walk) VALUES ('analytics_items');
