-- The cache of histories goes by an epoch: a cached history counts only while it carries this one. A new one is made when
-- Redis or Postgres went back in time, or a write to the cache failed. It takes the place of `stale_history`, which the
-- release before still uses; a later release drops that table.
-- depends: 0090.erasure-numbers

CREATE TABLE cache_epoch (
    single   boolean PRIMARY KEY DEFAULT TRUE CHECK (single),
    epoch    bytea NOT NULL,
    redis    text NOT NULL,
    postgres text NOT NULL
) WITH (fillfactor = 10);

-- No server matches it: the first probe makes the first epoch that counts.
INSERT INTO cache_epoch (epoch, redis, postgres) VALUES (uuid_send(gen_random_uuid()), '', '');
