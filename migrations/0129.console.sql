-- What signs the sessions of the console: one secret of 244 random bits, made here, so that all processes share it.
-- depends: 0122.bounds

CREATE TABLE console_secret (
    single boolean PRIMARY KEY DEFAULT TRUE CHECK (single),
    secret bytea NOT NULL
);

INSERT INTO console_secret (secret)
VALUES (decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));
