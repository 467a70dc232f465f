-- What /analytics/baseline says of variants: sums by day, variant and group of users. None names a user.
-- depends: 0011.analytics

-- Of the places 1 to 20, by the day of the impression, as in analytics_shown. Users are dealt into 1,024 groups by a
-- hash: the spread between groups tells how sure a figure is, and `top_rank` how many users there were (HyperLogLog).
-- Rows older than any answer are deleted.
CREATE TABLE analytics_variants (
    day        date NOT NULL,
    variant    text NOT NULL,
    user_group smallint NOT NULL,
    top_rank   smallint NOT NULL,
    shown      bigint NOT NULL DEFAULT 0,
    clicked    bigint NOT NULL DEFAULT 0,
    watches    bigint NOT NULL DEFAULT 0,
    watch_sec  float8 NOT NULL DEFAULT 0,
    PRIMARY KEY (day, variant, user_group)
) WITH (fillfactor = 70);
