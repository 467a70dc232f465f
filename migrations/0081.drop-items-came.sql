-- An item is as new as its published_at, and has been in the catalogue since created_at only where it has none: the index
-- of all items by age does for both.
-- depends: 0080.sessions 0070.variants 0062.serving-rules

DROP INDEX items_came;
