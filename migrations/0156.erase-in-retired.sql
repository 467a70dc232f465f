-- What a rebuild has swapped out and could not drop yet is erased as well.
-- depends: 0155.orders

CREATE OR REPLACE FUNCTION erase_in_building(erased text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    histories text;
BEGIN
    FOREACH histories IN ARRAY ARRAY['reco_building.user_history', 'reco_retired.user_history'] LOOP
        IF to_regclass(histories) IS NOT NULL THEN
            EXECUTE format('DELETE FROM %s WHERE user_id = $1', histories) USING erased;
        END IF;
    END LOOP;
END
$$;
