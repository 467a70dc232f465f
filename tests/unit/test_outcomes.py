"""What the last outcomes of some work say about it."""

from hypothesis import given
from hypothesis import strategies as st

from app.core.outcomes import Outcomes

HISTORY = st.lists(st.tuples(st.floats(0.0, 20.0), st.booleans()), max_size=40)
"""Pairs of the seconds since the last outcome and whether the work succeeded."""


@given(history=HISTORY, later=st.floats(0.0, 20.0))
def test_work_fails_after_three_failures_in_a_row_of_which_the_last_is_fresh(
    history: list[tuple[float, bool]], later: float
) -> None:
    outcomes, now = Outcomes(), 0.0
    for after, worked in history:
        now += after
        if worked:
            outcomes.worked(now)
        else:
            outcomes.failed(now, "refused")
    last_three = [worked for _, worked in history[-3:]]
    assert outcomes.failing(now + later) is (last_three == [False] * 3 and (now + later) - now <= 10.0)


def test_one_success_ends_the_failure_at_once() -> None:
    outcomes = Outcomes()
    for second in range(5):
        outcomes.failed(float(second), f"error {second}")
    assert outcomes.failing(4.0)
    assert (outcomes.first_failed_at, outcomes.error) == (0.0, "error 4")
    outcomes.worked(5.0)
    assert not outcomes.failing(5.0)


def test_probe_is_due_when_work_is_silent_and_sooner_after_a_failure() -> None:
    outcomes = Outcomes()
    assert outcomes.quiet(0.0)
    outcomes.worked(0.0)
    assert not outcomes.quiet(4.9)
    assert outcomes.quiet(5.0)
    outcomes.failed(5.0, "refused")
    assert not outcomes.quiet(5.9)
    assert outcomes.quiet(6.0)
