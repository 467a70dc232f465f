"""Weights of events and their decay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.signals import (
    ABANDONED_WEIGHT,
    COVISITATION_HALF_LIFE_MS,
    DAY_MS,
    LANDMARK_MS,
    POPULARITY_HALF_LIVES_MS,
    WATCH_WEIGHT,
    decay_factor,
    forward_weight,
    watch_weight,
)

YEAR_MS = 365 * DAY_MS


@given(
    st.integers(-19 * YEAR_MS, 19 * YEAR_MS), st.sampled_from([POPULARITY_HALF_LIVES_MS[-1], COVISITATION_HALF_LIFE_MS])
)
def test_an_event_halves_with_each_half_life(ago_ms: int, half_life_ms: int) -> None:
    at_ms = LANDMARK_MS + ago_ms
    term = forward_weight(at_ms, half_life_ms)
    assert term * decay_factor(at_ms, half_life_ms) == pytest.approx(1.0)
    assert term * decay_factor(at_ms + half_life_ms, half_life_ms) == pytest.approx(0.5)


@given(st.integers(0, 2**53 - 1))
def test_no_time_overflows_and_none_is_lost(at_ms: int) -> None:
    term = forward_weight(at_ms, POPULARITY_HALF_LIVES_MS[-1])
    assert 0.0 < term < float("inf")
    assert 0.0 < term * 1e30 < float("inf")


@given(st.floats(0, 604_800), st.none() | st.floats(0, 100), st.none() | st.booleans())
def test_a_watch_weighs_between_giving_up_and_all_of_it(
    seconds: float, percent: float | None, ended: bool | None
) -> None:
    assert ABANDONED_WEIGHT <= watch_weight(seconds, percent, ended) <= WATCH_WEIGHT


@pytest.mark.parametrize(
    ("seconds", "percent", "ended", "weight"),
    [
        (600.0, 80.0, None, 0.8),
        (600.0, None, True, 1.0),
        (120.0, None, None, 0.5),
        (3.0, 1.0, None, ABANDONED_WEIGHT),
        (3.0, None, None, ABANDONED_WEIGHT),
        (3.0, 60.0, None, 0.6),
        (3.0, 5.0, True, 0.05),
    ],
)
def test_a_watch_weighs_by_its_share(seconds: float, percent: float | None, ended: bool | None, weight: float) -> None:
    assert watch_weight(seconds, percent, ended) == pytest.approx(weight)
