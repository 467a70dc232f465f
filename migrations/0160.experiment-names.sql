-- Which names experiments have had that are deleted: another one of such a name would take over their figures.
-- depends: 0159.coverage

CREATE TABLE experiment_names (
    name       text PRIMARY KEY,
    deleted_at timestamptz NOT NULL DEFAULT now()
);
