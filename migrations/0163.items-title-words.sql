-- Items by the words of their titles as readers see them: the parser of text search takes `RED/WHITE` for the path of a
-- file, `27.5` for one number and `-10` for another. The index of 0139 is for the release before.
-- depends: 0162.walk-over-links

CREATE FUNCTION title_words(title text) RETURNS tsvector
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN to_tsvector('simple'::regconfig, translate(title, '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32)));

CREATE INDEX items_title_words ON items USING gin (title_words(title));
