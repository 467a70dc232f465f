"""Intervals that may be looked at every day: how often they are wrong, and what they find."""

from collections.abc import Callable
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.core.sample_size import users_needed
from app.core.sequential import MIN_USERS, Moments, change, radius, shares_doubt

Draw = Callable[[np.random.Generator, int, float], tuple[NDArray[np.float64], NDArray[np.float64]]]
A_DAY = 150


def clicks(rng: np.random.Generator, users: int, lift: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Clicked and shown places of each user: some see many lists, and each has a rate of their own."""
    shown = 20.0 * (1 + rng.poisson(rng.lognormal(0.5, 1.0, users)))
    return rng.binomial(shown.astype(int), rng.beta(1.0, 19.0, users) * lift).astype(float), shown


def purchases(rng: np.random.Generator, users: int, lift: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return (rng.random(users) < 0.2 * lift).astype(float), np.ones(users)


def revenue(rng: np.random.Generator, users: int, lift: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One in ten pays, and few of those pay most of it."""
    return (rng.random(users) < 0.1) * rng.lognormal(3.0, 1.2, users) * lift, np.ones(users)


def by_day(x: NDArray[np.float64], y: NDArray[np.float64], days: int) -> list[Moments]:
    """Of the users of the first day, of the first two, and so on."""
    sums = [np.cumsum(each)[A_DAY - 1 :: A_DAY] for each in (x > 0, x, y, x * x, y * y, x * y)]
    return [Moments((day + 1) * A_DAY, *(each[day].item() for each in sums)) for day in range(days)]


def found(draw: Draw, seed: int, *, lift: float, days: int, scale: float, trials: int) -> float:
    """The share of trials in which an interval without 0 ends the experiment on one of the days."""
    rng = np.random.default_rng(seed)
    ended = 0
    for _ in range(trials):
        ours = by_day(*draw(rng, days * A_DAY, lift), days)
        theirs = by_day(*draw(rng, days * A_DAY, 1.0), days)
        looks = (change(one, other, scale=scale, alpha=0.05) for one, other in zip(ours, theirs, strict=True))
        ended += any(look is not None and not look.low <= 0.0 <= look.high for look in looks)
    return ended / trials


@pytest.mark.slow
@pytest.mark.parametrize("draw", [clicks, purchases, revenue])
@pytest.mark.parametrize("scale", [0.05, 0.5])
def test_without_a_difference_daily_looks_end_fewer_than_alpha(draw: Draw, scale: float) -> None:
    """Looks at fixed 95 % intervals find a difference in 30 % of such experiments."""
    assert found(draw, seed=7, lift=1.0, days=40, scale=scale, trials=400) <= 0.05


def test_of_the_planned_size_a_true_difference_is_found_as_often_as_planned() -> None:
    control, variant = users_needed(
        deviation=2.0, minimum_effect=0.3, shares=(0.5, 0.5), alpha=0.05, power=0.8, active=0.2
    )
    assert control == variant
    days = control // A_DAY + 1
    assert found(purchases, seed=3, lift=1.3, days=days, scale=0.3, trials=300) >= 0.8


@pytest.mark.parametrize("scale", [0.001, 2.0])
def test_one_user_who_makes_the_figure_leaves_an_interval_in_numbers(scale: float) -> None:
    """Fifty users buy for a cent, and one for a trillion."""
    whale = Moments(MIN_USERS, 51, 1e12 + 0.5, MIN_USERS, 1e24 + 0.005, MIN_USERS, 1e12 + 0.5)
    small = Moments(MIN_USERS, 51, 0.51, MIN_USERS, 0.0051, MIN_USERS, 0.51)
    for ours, theirs in ((whale, small), (small, whale), (whale, whale)):
        found = change(ours, theirs, scale=scale, alpha=0.001)
        assert found is not None
        assert -1.0 <= found.low <= found.value <= found.high < inf


@pytest.mark.parametrize("deviation", [1e-9, 1.0, 1_000.0])
@pytest.mark.parametrize("active", [1e-6, 1.0])
@pytest.mark.parametrize("share", [0.001, 0.5])
def test_the_least_and_the_most_that_may_be_asked_have_a_size(deviation: float, active: float, share: float) -> None:
    for minimum_effect, alpha, power in ((0.001, 0.001 / 20, 0.99), (2.0, 0.2, 0.5)):
        control, variant = users_needed(
            deviation=deviation, minimum_effect=minimum_effect, shares=(share, share), alpha=alpha, power=power,
            active=active,
        )  # fmt: skip
        assert MIN_USERS <= control == variant < 2**63


@given(st.floats(1e-9, 1.0), st.floats(0.001, 2.0), st.floats(0.001, 0.2))
def test_less_certainty_and_more_users_narrow_an_interval(variance: float, scale: float, alpha: float) -> None:
    half = radius(variance, scale=scale, alpha=alpha)
    assert 0.0 < radius(variance / 2.0, scale=scale, alpha=alpha) < half < inf
    assert radius(variance, scale=scale, alpha=alpha / 2.0) > half
    # Never narrower than the interval of a single look.
    assert half > 1.0 * variance**0.5


@given(st.integers(MIN_USERS, 10_000), st.integers(MIN_USERS, 10_000), st.data())
def test_swapped_sides_give_the_inverse_change(ours: int, theirs: int, data: st.DataObject) -> None:
    sides = []
    for users in (ours, theirs):
        buyers = data.draw(st.integers(50, users - 1))
        sides.append(Moments(users, buyers, buyers, users, buyers, users, buyers))
    there, back = (change(*pair, scale=0.1, alpha=0.05) for pair in (sides, sides[::-1]))
    assert there is not None
    assert back is not None
    assert there.low <= there.value <= there.high
    assert (1.0 + there.low) * (1.0 + back.high) == pytest.approx(1.0)


def test_few_users_or_few_active_ones_tell_nothing() -> None:
    enough = Moments(1_000, 100, 100.0, 1_000.0, 100.0, 1_000.0, 100.0)
    for few in (Moments(100, 100, 100.0, 100.0, 100.0, 100.0, 100.0), Moments(1_000, 9, 9.0, 1e3, 9.0, 1e3, 9.0)):
        assert change(enough, few, scale=0.1, alpha=0.05) is None
        assert change(few, enough, scale=0.1, alpha=0.05) is None


def test_lost_users_are_found_and_chance_is_not() -> None:
    rng = np.random.default_rng(5)
    shares = [0.7, 0.2, 0.1, 0.0]
    doubts = []
    for _ in range(200):
        users = np.cumsum(rng.multinomial(200, shares, size=40), axis=0)
        doubts.append(min(shares_doubt(row.tolist(), shares) for row in users))
    assert sum(doubt < 0.05 for doubt in doubts) <= 10
    assert shares_doubt([7_000, 1_700, 1_000, 0], shares) < 0.001
    assert shares_doubt([0, 0, 0, 0], shares) == 1.0
