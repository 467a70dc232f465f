-- Rules by which those who run the service steer what is served.
-- depends: 0061.items-indexes

CREATE TABLE serving_rules (
    rule_id    text PRIMARY KEY,
    action     text NOT NULL,
    item_id    text,
    category   text,
    tag        text,
    position   integer CHECK (position BETWEEN 1 AND 200),
    factor     float8 CHECK (factor BETWEEN 0 AND 10),
    within     text,
    starts_at  timestamptz,
    ends_at    timestamptz,
    note       text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT serving_rules_shape CHECK (
        CASE action
            WHEN 'pin' THEN num_nulls(item_id, position) = 0 AND num_nonnulls(category, tag, factor) = 0
            WHEN 'boost' THEN num_nonnulls(item_id, category, tag) = 1 AND factor IS NOT NULL AND position IS NULL
            ELSE FALSE
        END
    ),
    CONSTRAINT serving_rules_period CHECK (ends_at > starts_at)
);
