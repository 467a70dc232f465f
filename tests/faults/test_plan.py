"""What a soak is going to do is a function of its seed."""

from itertools import islice

from tests.faults.soak.plan import BOUNDS, rounds


def test_same_seed_draws_the_same_rounds() -> None:
    drawn = [list(islice(rounds(seed, processes=6, strikes_per_sec=2.0), 20)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert {fault.kind for fault in drawn[0]} <= set(BOUNDS)
    assert {strike.process for fault in drawn[0] for strike in fault.strikes} == set(range(6))
