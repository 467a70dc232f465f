-- Items by the words of their titles. Not updated at once, as the index of categories is: searches are rare, and writers
-- need not wait for it.
-- depends: 0138.item-attributes

CREATE INDEX items_title ON items USING gin (to_tsvector('simple', title));
