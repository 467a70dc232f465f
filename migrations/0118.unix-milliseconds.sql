-- Milliseconds since 1970. Infinity, which is no number, becomes the end of the year 9999, and -infinity the year 1: one
-- row with such a time must not fail a statement that reads many.
-- depends: 0114.ranking-models

CREATE FUNCTION unix_ms(moment timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE moment
    WHEN 'infinity' THEN 253402300800000
    WHEN '-infinity' THEN -62135596800000
    ELSE (extract(EPOCH FROM moment) * 1000)::bigint
END;
