-- How far the walk is that removes links of anonymous ids that nothing is left of.
-- depends: 0161.time-indexes

INSERT INTO table_walks (walk) VALUES ('user_links');
