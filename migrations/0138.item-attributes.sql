-- What items have besides categories and tags: values by name, each of the type that its name is declared with.
-- depends: 0129.console

ALTER TABLE items ADD COLUMN attributes jsonb NOT NULL DEFAULT '{}';

CREATE TABLE item_attributes (
    name       text PRIMARY KEY,
    type       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
