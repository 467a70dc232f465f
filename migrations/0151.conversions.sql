-- What /analytics/conversions reads: sums by day, placement, source, variant and group of users. None names a user.
-- depends: 0145.bought-together

-- By the day of the impression, of the places 1 to 20. Users are dealt into 64 groups by a hash: the spread between
-- groups tells how sure a figure is. Rows older than any answer are deleted.
CREATE TABLE analytics_conversions (
    day        date NOT NULL,
    placement  text NOT NULL,
    source     text NOT NULL,
    variant    text NOT NULL,
    user_group smallint NOT NULL,
    shown      bigint NOT NULL DEFAULT 0,
    clicked    bigint NOT NULL DEFAULT 0,
    converted  bigint NOT NULL DEFAULT 0,
    watches    bigint NOT NULL DEFAULT 0,
    watch_sec  float8 NOT NULL DEFAULT 0,
    PRIMARY KEY (day, placement, source, variant, user_group)
) WITH (fillfactor = 70);

-- What the conversions of these places were worth. An empty currency: the event named none.
CREATE TABLE analytics_revenue (
    day        date NOT NULL,
    placement  text NOT NULL,
    source     text NOT NULL,
    variant    text NOT NULL,
    currency   text NOT NULL,
    user_group smallint NOT NULL,
    revenue    float8 NOT NULL DEFAULT 0,
    PRIMARY KEY (day, placement, source, variant, currency, user_group)
) WITH (fillfactor = 70);
