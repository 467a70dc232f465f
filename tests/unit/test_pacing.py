"""How often a consumer begins a batch."""

import pytest

from app.core.pacing import interval_sec


def batch_at(messages_a_second: float, *, work_sec: float) -> float:
    """What a batch grows or shrinks to at a steady rate, each taking `work_sec`."""
    messages = 100.0
    for _ in range(50):
        messages = messages_a_second * max(work_sec, interval_sec(round(messages)))
    return messages


@pytest.mark.parametrize("rate", [1, 100, 900])
def test_few_messages_a_second_are_not_held_back(rate: int) -> None:
    assert batch_at(rate, work_sec=0.01) == pytest.approx(rate * 0.01)


@pytest.mark.parametrize("rate", [1200, 2500, 10_000])
def test_many_messages_a_second_gather_for_the_longest_interval(rate: int) -> None:
    assert batch_at(rate, work_sec=0.02) == pytest.approx(rate * 0.15)


def test_batch_that_takes_longer_than_the_interval_is_not_delayed() -> None:
    assert batch_at(4000, work_sec=0.25) == pytest.approx(1000)
