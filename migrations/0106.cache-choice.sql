-- What an operator chose with `reco cache use`. Every process reads it twice a second. Without a row the settings decide.
-- depends: 0104.audit-log

CREATE TABLE cache_choice (
    single    boolean PRIMARY KEY DEFAULT TRUE CHECK (single),
    backend   text NOT NULL CHECK (backend IN ('redis', 'memory')),
    chosen_by text NOT NULL,
    chosen_at timestamptz NOT NULL DEFAULT now()
);
