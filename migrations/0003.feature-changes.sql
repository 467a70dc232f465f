-- What the API's processes keep in memory of items, they drop when a row here says that it changed.
-- depends: 0002.features

CREATE TABLE feature_changes (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item_ids   text[] NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION items_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO feature_changes (item_ids) SELECT array_agg(item_id) FROM changed HAVING count(*) > 0;
    RETURN NULL;
END
$$;

CREATE TRIGGER items_inserted AFTER INSERT ON items
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION items_changed();
CREATE TRIGGER items_updated AFTER UPDATE ON items
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION items_changed();
CREATE TRIGGER items_deleted AFTER DELETE ON items
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION items_changed();
