-- What became of a dead letter is counted once, by whichever process sees it first: commands have no metrics to tell.
-- depends: 0040.item-returns

ALTER TABLE feature_consumer_dlq ADD COLUMN untold boolean NOT NULL DEFAULT FALSE;

CREATE INDEX feature_consumer_dlq_untold ON feature_consumer_dlq (id) WHERE untold;
