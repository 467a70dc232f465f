"""Random faults at random times, drawn from a seed, while load runs; after each round everything must add up."""
