-- Events of other types than views, clicks, purchases and watches, by item: what a rebuild would lose of them is told, and
-- an item that has only such events is not taken for a new one. And when a version of the ranking was last named by the
-- setting VARIANTS of a process: such versions are kept.
-- depends: 0152.error-history

ALTER TABLE item_stats ADD COLUMN other_events bigint NOT NULL DEFAULT 0;

ALTER TABLE ranking_models ADD COLUMN named_at timestamptz;
