-- What keeps the tables of features bounded: pairs know when they are young, items which of their pairs are weak, and
-- walks over tables how far they are.
-- depends: 0114.ranking-models

-- Minutes since 1970, when the pair was met first. The default is the server's, so that the release before writes it too;
-- in the row there is room for it.
ALTER TABLE item_pairs
    ADD COLUMN created_minute integer NOT NULL DEFAULT (extract(EPOCH FROM now()) / 60)::integer;

-- The strength of the last pair that the item keeps (app/core/pair_bounds.py); 0: it keeps all.
ALTER TABLE item_stats ADD COLUMN pair_floor float8 NOT NULL DEFAULT 0;

-- One row a walk; its lock is the right to go on with it. `position`: an item key or a block, 0 between two walks.
CREATE TABLE table_walks (
    walk     text PRIMARY KEY,
    position bigint NOT NULL DEFAULT 0,
    began_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO table_walks (walk) VALUES ('item_pairs'), ('item_stats'), ('user_history');

-- How often items were removed: whoever counts and read keys before, reads them again.
ALTER TABLE feature_generations ADD COLUMN removals integer NOT NULL DEFAULT 0;
