"""The log that comes with the product, as its file has it."""

SAMPLE_ROWS = 27_384
