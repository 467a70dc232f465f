-- The history of the rules: what each change made of a rule, and who made it.
-- depends: 0146.experiments

-- `before` and `after`: the rule as JSON, null where there was or is none. `undoes`: the change that this one takes back.
CREATE TABLE rule_changes (
    change_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor      text,
    rule_id    text NOT NULL,
    before     jsonb,
    after      jsonb,
    undoes     bigint
);
CREATE INDEX rule_changes_rule_id ON rule_changes (rule_id, change_id);
