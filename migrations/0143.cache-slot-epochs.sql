-- In a Redis Cluster the cached histories of each slot group go by an epoch of the group, so that a server that is lost
-- costs its own users alone. It counts as long as `cache_epoch.epoch` is the one of its row.
-- depends: 0139.items-title-index

CREATE TABLE cache_slot_epochs (
    slot_group  integer PRIMARY KEY,
    epoch       bytea NOT NULL,
    redis       text NOT NULL,
    cache_epoch bytea NOT NULL
) WITH (fillfactor = 10);
