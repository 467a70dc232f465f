-- Links between ids of one person: the history of an anonymous id is read together with the account's.
-- depends: 0135.cancelled-events

-- A link that was undone stays: later events with both ids do not make it again.
CREATE TABLE user_links (
    user_id      text NOT NULL,
    anonymous_id text NOT NULL CHECK (anonymous_id <> user_id),
    link_id      bigint GENERATED ALWAYS AS IDENTITY,
    linked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    undone_at    timestamptz,
    PRIMARY KEY (user_id, anonymous_id)
);

CREATE INDEX user_links_anonymous ON user_links (anonymous_id);
