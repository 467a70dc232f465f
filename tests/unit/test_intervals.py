"""95 % intervals: in 95 of 100 worlds they contain the true value, although one user's events are correlated."""

import random
from collections.abc import Callable
from math import sqrt
from typing import Final

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from app.core.intervals import Estimate, difference, mean, share, student

WORLDS: Final = 400
# Five standard deviations of a share of 0.95 in so many worlds; the seeds are fixed.
CHANCE: Final = 5 * sqrt(0.95 * 0.05 / WORLDS)

counts = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 400)), min_size=1, max_size=60).map(
    lambda rows: ([min(part, whole) for part, whole in rows], [whole for _, whole in rows])
)


class Arm:
    """Users of differing activity and taste, dealt into groups. The average click rate is `rate`, each user's its own;
    a watch takes 60 s on average, each user's about as long as the user's others.
    """

    def __init__(self, rng: random.Random, users: int, rate: float, groups: int) -> None:
        self.shown = [0.0] * groups
        self.clicked = [0.0] * groups
        self.watches = [0.0] * groups
        self.watch_sec = [0.0] * groups
        for _ in range(users):
            group = rng.randrange(groups)
            shown = 1 + int(rng.lognormvariate(2.5, 0.7))
            taste = rng.betavariate(rate * 20, (1 - rate) * 20)
            patience = rng.gammavariate(4, 15)
            self.shown[group] += shown
            self.clicked[group] += sum(rng.random() < taste for _ in range(shown))
            self.watches[group] += shown
            self.watch_sec[group] += sum(rng.expovariate(1 / patience) for _ in range(shown))


def covered(found: Estimate | None, truth: float) -> bool:
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    return found.low <= truth <= found.high


def coverage(make: Callable[[random.Random], bool]) -> float:
    rng = random.Random(20)
    return sum(make(rng) for _ in range(WORLDS)) / WORLDS


@pytest.mark.parametrize(("users", "rate", "groups"), [(40, 0.1, 1024), (200, 0.04, 1024), (200, 0.1, 16)])
def test_the_interval_of_a_share_covers_the_truth(users: int, rate: float, groups: int) -> None:
    def world(rng: random.Random) -> bool:
        arm = Arm(rng, users, rate, groups)
        return covered(share(arm.clicked, arm.shown), rate)

    assert abs(coverage(world) - 0.95) < CHANCE


def test_events_that_are_taken_for_independent_would_cover_far_less() -> None:
    """Why the groups: with each event alone the interval looks sure and is not."""

    def world(rng: random.Random) -> bool:
        arm = Arm(rng, 200, 0.1, 1024)
        clicked, shown = sum(arm.clicked), sum(arm.shown)
        alone = 1.96 * sqrt(clicked / shown * (1 - clicked / shown) / shown)
        return abs(clicked / shown - 0.1) <= alone

    assert coverage(world) < 0.95 - 2 * CHANCE


@pytest.mark.parametrize(("users", "groups"), [(40, 1024), (200, 16)])
def test_the_interval_of_a_mean_covers_the_truth(users: int, groups: int) -> None:
    def world(rng: random.Random) -> bool:
        arm = Arm(rng, users, 0.1, groups)
        return covered(mean(arm.watch_sec, arm.watches), 60.0)

    assert abs(coverage(world) - 0.95) < CHANCE


@pytest.mark.slow
def test_the_interval_of_a_difference_covers_the_truth_between_unequal_arms() -> None:
    def clicks(rng: random.Random) -> bool:
        one, other = Arm(rng, 40, 0.12, 1024), Arm(rng, 150, 0.08, 1024)
        pair = share(one.clicked, one.shown), share(other.clicked, other.shown)
        assert pair[0] is not None
        assert pair[1] is not None
        return covered(difference(*pair), 0.04)

    def watched(rng: random.Random) -> bool:
        one, other = Arm(rng, 40, 0.1, 1024), Arm(rng, 150, 0.1, 1024)
        pair = mean(one.watch_sec, one.watches), mean(other.watch_sec, other.watches)
        assert pair[0] is not None
        assert pair[1] is not None
        return covered(difference(*pair), 0.0)

    assert abs(coverage(clicks) - 0.95) < CHANCE
    assert abs(coverage(watched) - 0.95) < CHANCE


def test_where_events_are_independent_it_is_wilsons() -> None:
    """81 of 263 as R. Newcombe tabulates it (Statistics in Medicine 17, 1998, p. 857, table I): 0.2553 to 0.3662."""
    found = share([1.0] * 81 + [0.0] * 182, [1.0] * 263)
    assert found is not None
    assert found.low == pytest.approx(0.2553, abs=0.001)
    assert found.high == pytest.approx(0.3662, abs=0.001)


def test_without_a_click_the_interval_is_as_wide_as_the_users_are_few() -> None:
    few, many = share([0.0] * 10, [20.0] * 10), share([0.0] * 1000, [20.0] * 1000)
    assert few is not None
    assert many is not None
    assert (few.value, few.low) == (many.value, many.low) == (0.0, 0.0)
    # Wilson's upper bound for none of n: z² / (n + z²).
    assert few.high == pytest.approx(1.96**2 / (10 + 1.96**2), abs=1e-4)
    assert many.high == pytest.approx(1.96**2 / (1000 + 1.96**2), abs=1e-4)


def test_one_group_tells_little_and_none_tells_nothing() -> None:
    assert share([], []) is None
    assert share([0.0], [0.0]) is None
    assert mean([0.0, 0.0], [0.0, 0.0]) is None
    assert mean([90.0, 0.0], [3.0, 0.0]) == Estimate(30.0)
    single = share([5.0], [100.0])
    assert single is not None
    assert single.high is not None
    assert single.high > 0.5
    assert difference(Estimate(30.0), Estimate(10.0, 5.0, 15.0)) == Estimate(20.0)


@given(counts)
def test_an_interval_holds_its_value_and_stays_in_range(drawn: tuple[list[int], list[int]]) -> None:
    parts, wholes = drawn
    found = share(parts, wholes)
    assert (found is None) == (sum(wholes) == 0)
    if found is not None:
        assert found.low is not None
        assert found.high is not None
        assert 0.0 <= found.low <= found.value <= found.high <= 1.0
        assert found.low < found.high


@given(counts, st.randoms(use_true_random=False))
def test_order_and_empty_groups_do_not_change_an_interval(
    drawn: tuple[list[int], list[int]], rng: random.Random
) -> None:
    rows = list(zip(*drawn, strict=True))
    mixed = [*rows, (0, 0), (0, 0)]
    rng.shuffle(mixed)
    for figure in (share, mean):
        one, other = (figure(*map(list, zip(*each, strict=True))) for each in (rows, mixed))
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert one.value == pytest.approx(other.value)
            assert one.low == pytest.approx(other.low)
            assert one.high == pytest.approx(other.high)


@example(([1], [2]))
@given(counts)
def test_the_same_users_twice_over_make_it_surer(drawn: tuple[list[int], list[int]]) -> None:
    parts, wholes = drawn
    assume(sum(wholes) > 0)
    once, twice = share(parts, wholes), share(parts * 2, wholes * 2)
    assert once is not None
    assert twice is not None
    assert (twice.high or 0.0) - (twice.low or 0.0) < (once.high or 0.0) - (once.low or 0.0)


@given(st.tuples(counts, counts))
def test_a_difference_turns_its_sign_with_its_sides(drawn: tuple[tuple[list[int], list[int]], ...]) -> None:
    one, other = (share(*each) for each in drawn)
    assume(one is not None and other is not None)
    assert one is not None
    assert other is not None
    there, back = difference(one, other), difference(other, one)
    assert there.value == -back.value
    assert there.low == pytest.approx(-(back.high or 0.0))
    assert there.high == pytest.approx(-(back.low or 0.0))


@pytest.mark.parametrize(
    ("freedom", "point"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (10, 2.2281), (120, 1.9799)],
)
def test_students_t_has_the_tabulated_quantiles(freedom: int, point: float) -> None:
    assert student(freedom) == pytest.approx(point, rel=0.002)
