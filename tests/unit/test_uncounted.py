"""How much time of receipt one look for uncounted events covers."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from workers.uncounted import given_up, next_step, step_after

SEC = timedelta(seconds=1)


def test_quick_steps_grow_and_slow_ones_shrink_within_bounds() -> None:
    assert next_step(60 * SEC, 0.01) == 120 * SEC
    assert next_step(60 * SEC, 0.5) == 30 * SEC


def test_a_step_that_postgres_gave_up_shrinks_below_the_first_one_and_stays_there_while_steps_are_slow() -> None:
    assert given_up(21_600 * SEC) == 5_400 * SEC
    assert given_up(10 * SEC) == 2.5 * SEC
    assert next_step(2.5 * SEC, 3.0) == 2.5 * SEC
    assert next_step(2.5 * SEC, 0.01) == 5 * SEC
    assert given_up(0.1 * SEC) == 0.05 * SEC


def test_part_of_a_step_says_little_of_the_whole() -> None:
    """What is left at the end of a turn: however long it takes, the next step is no shorter than the first one."""
    step = 60 * SEC
    for looked_at in (2.2 * SEC, 0.2 * SEC, 0.2 * SEC, 0.2 * SEC, 0.2 * SEC):
        assert step_after(step, looked_at, 0.01) == step
        step = step_after(step, looked_at, 0.5)
    assert step == 10 * SEC
    assert step_after(step, step, 0.01) == 20 * SEC


@given(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=60))
def test_any_sequence_of_durations_stays_within_bounds(durations: list[float]) -> None:
    step = 10 * SEC
    for took_sec in durations:
        step = next_step(step, took_sec)
        assert 10 * SEC <= step <= timedelta(hours=6)
