-- What the learned ranking counts besides: popularity by three half-lives, each a value and its time, for a sum of
-- forward-decayed terms with a half-life of hours would overflow within weeks; events and users as evidence; and of a
-- pair, how many users met both items, and how often one followed the other.
-- depends: 0106.cache-choice

ALTER TABLE item_stats
    ADD COLUMN popular_ms bigint NOT NULL DEFAULT 0,
    ADD COLUMN popular_hours float8 NOT NULL DEFAULT 0,
    ADD COLUMN popular_day float8 NOT NULL DEFAULT 0,
    ADD COLUMN popular_week float8 NOT NULL DEFAULT 0,
    ADD COLUMN events float8 NOT NULL DEFAULT 0,
    ADD COLUMN users bigint NOT NULL DEFAULT 0,
    ADD COLUMN first_ms bigint NOT NULL DEFAULT 4611686018427387904;

ALTER TABLE item_pairs
    ADD COLUMN a_to_b float8 NOT NULL DEFAULT 0,
    ADD COLUMN b_to_a float8 NOT NULL DEFAULT 0,
    ADD COLUMN met real NOT NULL DEFAULT 0;

-- `value` after `by_ms`; after 60 half-lives nothing is left, where a power of 2 would fail for its range.
CREATE FUNCTION decayed(value float8, by_ms bigint, half_life_ms bigint) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT CASE
    WHEN by_ms = 0 THEN value
    WHEN by_ms < 60 * half_life_ms THEN value * power(2::float8, -(by_ms::float8) / half_life_ms)
    ELSE 0
END
$$;

-- The best that the sums of the release before tell. `popularity` was forward-decayed from 2026-01-01 with a half-life
-- of 8 days; it stays for that release, and this one does not read it.
UPDATE item_stats SET
    popular_ms = extract(EPOCH FROM now()) * 1000,
    popular_week = popularity * power(2::float8, -extract(EPOCH FROM now() - '2026-01-01+00')::float8 / (8 * 86400)),
    events = frequency,
    users = views + clicks + purchases + watches,
    first_ms = extract(EPOCH FROM created_at) * 1000
WHERE frequency > 0;
