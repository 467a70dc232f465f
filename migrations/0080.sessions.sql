-- Who began a session, so that somebody who is not known yet is served by what was done in it. Kept for a day.
-- depends: 0062.serving-rules 0070.variants

CREATE TABLE sessions (
    session_id text PRIMARY KEY,
    user_id    text NOT NULL,
    started_ms bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX sessions_created_at ON sessions USING brin (created_at) WITH (pages_per_range = 32, autosummarize = on);
