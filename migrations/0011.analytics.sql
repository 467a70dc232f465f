-- What /analytics/baseline reads: sums by day, kept up to date a slice of arrivals at a time. None names a user.
-- depends: 0010.erasures

-- One row: events received before `rolled_to` are in the sums. Its lock is the right to roll up.
CREATE TABLE analytics_progress (
    singleton boolean PRIMARY KEY DEFAULT TRUE CHECK (singleton),
    rolled_to timestamptz NOT NULL
);
INSERT INTO analytics_progress (rolled_to) SELECT coalesce(min(received_at), now()) FROM events;

-- By the day of the impression, of the places 1 to 20: items shown, those clicked, and watches that followed.
CREATE TABLE analytics_shown (
    day           date NOT NULL,
    source        text NOT NULL,
    model_version text NOT NULL,
    shown         bigint NOT NULL DEFAULT 0,
    clicked       bigint NOT NULL DEFAULT 0,
    watches       bigint NOT NULL DEFAULT 0,
    watch_sec     float8 NOT NULL DEFAULT 0,
    PRIMARY KEY (day, source, model_version)
);

-- All watches by their own day, whether or not they followed an impression.
CREATE TABLE analytics_watches (
    day       date PRIMARY KEY,
    watches   bigint NOT NULL,
    watch_sec float8 NOT NULL
);

-- The last day that an item was shown: coverage of any number of days until today is one count. Empty source and
-- version stand for any.
CREATE TABLE analytics_items (
    source        text NOT NULL,
    model_version text NOT NULL,
    item_id       text NOT NULL,
    last_day      date NOT NULL,
    PRIMARY KEY (source, model_version, item_id)
);

-- What belongs to one request: its impressions, clicks and watches find each other, whichever comes first.
CREATE INDEX events_request_id ON events (request_id) WHERE request_id IS NOT NULL;
