-- What the coverage of days, placements, sources and variants is estimated from.
-- depends: 0157.no-stale-history

-- Registers of HyperLogLog, a byte each: of the items of the catalogue that were shown at the places 1 to 20. Sketches of
-- several rows merge by the greater byte. The keys are those of analytics_conversions.
CREATE TABLE analytics_coverage (
    day       date NOT NULL,
    placement text NOT NULL,
    source    text NOT NULL,
    variant   text NOT NULL,
    ranks     bytea NOT NULL,
    PRIMARY KEY (day, placement, source, variant)
) WITH (fillfactor = 70);
