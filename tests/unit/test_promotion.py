"""When learned weights serve and when they no longer do, on places that are drawn by a seed."""

from itertools import pairwise
from random import Random

import pytest

from app.core import promotion
from app.core.promotion import LEAST_TESTS, LOOK_EVERY, goes_back_to, is_due, verdict
from app.core.rolling_figures import CONTENDERS, RollingFigures

EQUAL = dict.fromkeys(CONTENDERS, 0.3)


def actions(rates: dict[str, float], seed: int, tests: int = 5_000) -> tuple[str | None, int]:
    """The first thing that is done, and after how many tests, when each contender has hits at these rates."""
    random, figures = Random(seed), RollingFigures()
    for since in range(1, tests + 1):
        figures.add([random.randint(1, 20) if random.random() < rates[name] else 0 for name in CONTENDERS], is_new=True)
        if is_due(since) and (found := verdict(figures, since)) is not None:
            return found.action, since
    return None, tests


def test_nothing_is_decided_between_two_looks_or_early() -> None:
    looks = [since for since in range(2_000) if is_due(since)]
    assert looks[0] == LEAST_TESTS
    assert {after - before for before, after in pairwise(looks)} == {LOOK_EVERY}


@pytest.mark.parametrize("seed", range(5))
def test_better_weights_are_promoted(seed) -> None:
    assert actions({**EQUAL, "learned": 0.4}, seed)[0] == "promote"


@pytest.mark.parametrize("name", ["fixed", "before"])
def test_served_weights_that_fall_behind_are_rolled_back(name) -> None:
    assert actions({**EQUAL, "served": 0.2, "learned": 0.2, name: 0.3}, 1)[0] == "roll_back"


def test_learned_weights_behind_the_constants_are_not_promoted() -> None:
    assert actions({**EQUAL, "served": 0.1, "before": 0.1, "learned": 0.2, "fixed": 0.4}, 1)[0] == "roll_back"


@pytest.mark.slow
def test_equal_rankings_are_seldom_taken_for_different() -> None:
    """Of 100 runs of 5,000 independent tests, with a look every hundred."""
    assert sum(actions(EQUAL, seed)[0] is not None for seed in range(100)) <= 5


def figures_of(*parts: tuple[int, dict[str, int]]) -> RollingFigures:
    """So many tests with these places, a few of them misses; those that are not named are misses."""
    figures = RollingFigures()
    for tests, places in parts:
        for number in range(tests):
            figures.add([places.get(name, 0) if number % 10 else 0 for name in CONTENDERS], is_new=True)
    return figures


def test_what_was_learned_well_before_what_serves_began_is_no_reason_to_promote() -> None:
    """Both are worse than the constants since then, and only what is learned was better once."""
    found = verdict(figures_of((3_000, {"learned": 1}), (500, {"learned": 10, "fixed": 1, "before": 10})), 500)
    assert found is not None
    assert found.action == "roll_back"


def test_rollback_leads_to_the_constants_where_what_served_before_is_worse() -> None:
    worse = figures_of((500, {"served": 5, "learned": 5, "fixed": 1, "before": 15}))
    found = verdict(worse, 500)
    assert found is not None
    assert found.action == "roll_back"
    assert goes_back_to(worse, 500) == "fixed"
    assert goes_back_to(figures_of((500, {"fixed": 1, "before": 1})), 500) == "before"
    assert goes_back_to(figures_of((3_000, {"fixed": 1}), (500, {"fixed": 9, "before": 1})), 500) == "before"


def test_small_gain_is_not_a_version() -> None:
    figures = RollingFigures()
    for number in range(2_000):  # the same place almost always, and better by one place sometimes
        place = 2 if number % 50 else 3
        figures.add([3 if place == 3 else 2, 2, 0, 0, 2], is_new=True)
    gained = figures.difference("learned", "served", last=2_000)
    assert gained.mean > promotion.Z * gained.error
    assert gained.mean < promotion.LEAST_GAIN * figures.figures("served").ndcg
    assert verdict(figures, 2_000) is None
