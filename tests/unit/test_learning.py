"""Steps towards what users chose, their bounds, and which events teach."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from app.core.learning import LARGEST, RATE, WITHIN_REACH, Learner, learn, starting_from
from app.core.sampling import OF_ONE_USER, Sampling
from app.core.signals import HOUR_MS, LANDMARK_MS
from app.core.weights import FEATURES, FROM_CONTENT, SIZES, START, size_of, weights_of

FEATURE_ROWS = st.integers(2, 12).flatmap(
    lambda rows: arrays(np.float32, (rows, len(FEATURES)), elements=st.floats(-6.0, 6.0, width=32))
)
SIZE = st.integers(0, len(SIZES) - 1)


def share(learner: Learner, features: NDArray[np.float32], chosen: int, size: int) -> float:
    scores = features @ learner.weights[size]
    shares = np.exp(scores - scores.max())
    return float(shares[chosen] / shares.sum())


@given(FEATURE_ROWS, SIZE, st.data())
def test_a_small_step_raises_the_share_of_what_was_chosen(
    features: NDArray[np.float32], size: int, data: st.DataObject
) -> None:
    features[:, FROM_CONTENT] = 0.0  # what else is there is moved apart from it
    chosen = data.draw(st.integers(0, len(features) - 1))
    learner = starting_from(START)
    before = share(learner, features, chosen, size)
    learn(learner, features, chosen, size, rate=1e-3)
    assert share(learner, features, chosen, size) >= before * 0.9999


def test_many_steps_prefer_the_feature_that_tells_what_is_chosen() -> None:
    features = np.zeros((10, len(FEATURES)), np.float32)
    features[3, FEATURES.index("following")] = 1.0
    learner = starting_from(np.zeros_like(START))
    for _ in range(100):
        learn(learner, features, 3, 1)
    assert share(learner, features, 3, 1) > 0.3
    assert share(learner, features, 3, 0) > 0.2  # the other sizes learn from it, too
    assert learner.events == 100
    assert np.count_nonzero(learner.weights) == len(SIZES)


def test_candidates_out_of_reach_teach_nothing_and_are_no_rivals() -> None:
    """Neither as the item that was taken, nor as one that was not."""
    features = np.random.default_rng(1).uniform(0.0, 3.0, (3 * WITHIN_REACH, len(FEATURES))).astype(np.float32)
    features[:, FROM_CONTENT] = 0.0
    best_first = np.argsort(-(features @ START[1]))
    learner, of_the_best = starting_from(START), starting_from(START)
    learn(learner, features, int(best_first[WITHIN_REACH]), 1)
    assert learner.events == 0
    assert np.array_equal(learner.weights, START)
    learn(learner, features, int(best_first[WITHIN_REACH - 1]), 1)
    learn(of_the_best, features[best_first[:WITHIN_REACH]], WITHIN_REACH - 1, 1)
    assert learner.events == 1
    assert learner.weights == pytest.approx(of_the_best.weights, abs=1e-5)


def test_a_sample_that_stands_for_several_events_moves_weights_further() -> None:
    features = np.random.default_rng(1).uniform(0.0, 3.0, (20, len(FEATURES))).astype(np.float32)

    def moved(stands_for: float) -> float:
        learner = starting_from(START)
        for n in range(100):
            learn(learner, features, n % 20, 1)
        before = learner.weights.copy()
        learn(learner, features, 7, 1, stands_for=stands_for)
        return float(np.abs(learner.weights - before).max())

    assert 2.0 * moved(1.0) < moved(4.0) < RATE


def test_candidates_by_content_move_the_weights_of_content_alone() -> None:
    chance = np.random.default_rng(1)
    known = np.zeros((8, len(FEATURES)), np.float32)
    known[:, : FROM_CONTENT.start] = chance.uniform(0.0, 3.0, (8, FROM_CONTENT.start))
    cold = np.zeros((5, len(FEATURES)), np.float32)
    cold[:, FROM_CONTENT.start] = chance.uniform(0.5, 3.0, 5)
    alone, mixed = starting_from(START), starting_from(START)
    learn(alone, known, 2, 3)
    learn(mixed, np.concatenate([cold[:3], known, cold[3:]]), 3 + 2, 3)
    assert mixed.weights[:, : FROM_CONTENT.start] == pytest.approx(alone.weights[:, : FROM_CONTENT.start])
    assert (mixed.weights[:, FROM_CONTENT.start] < START[:, FROM_CONTENT.start]).all()
    before = mixed.weights.copy()
    learn(mixed, np.concatenate([known, cold]), len(known), 3)
    assert (mixed.weights[:, : FROM_CONTENT.start] == before[:, : FROM_CONTENT.start]).all()
    assert (mixed.weights[:, FROM_CONTENT.start] != before[:, FROM_CONTENT.start]).all()


@given(FEATURE_ROWS, SIZE, st.floats(0.001, 1.0), st.integers(1, 5), st.floats(1.0, 1_000.0))
def test_one_event_moves_no_weight_by_more_than_the_rate(
    features: NDArray[np.float32], size: int, rate: float, steps: int, stands_for: float
) -> None:
    learner = starting_from(START)
    for _ in range(steps):
        before = learner.weights.copy()
        learn(learner, features, 0, size, rate=rate, stands_for=stands_for)
        assert np.abs(learner.weights - before).max() <= rate * 1.000001
        assert np.isfinite(learner.weights).all()
        assert np.isfinite(learner.squares).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_features_that_are_not_finite_teach_nothing(value: float, row: int) -> None:
    features = np.ones((3, len(FEATURES)), np.float32)
    features[row, 2] = value
    learner = starting_from(START)
    learn(learner, features, 0, 1)
    assert np.array_equal(learner.weights, START)
    assert learner.events == 0
    assert (learner.squares == starting_from(START).squares).all()


def test_no_weight_passes_the_largest() -> None:
    learner = starting_from(np.full_like(START, LARGEST))
    features = np.zeros((2, len(FEATURES)), np.float32)
    features[0] = 1e-3
    learn(learner, features, 0, 0)
    assert learner.weights.max() == LARGEST


def test_a_learner_leaves_the_weights_that_it_started_from() -> None:
    start = START.copy()
    learn(starting_from(start), np.eye(3, len(FEATURES), dtype=np.float32), 0, 0)
    assert np.array_equal(start, START)


def test_weights_are_given_by_feature_and_size_of_history() -> None:
    weights = weights_of({"own": (1.0, 2.0, 3.0, 4.0)})
    assert weights[:, FEATURES.index("own")].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert weights.sum() == 10.0
    assert [size_of(items) for items in (0, 1, 2, 3, 14, 15, 50)] == [0, 1, 1, 2, 2, 3, 3]


def test_a_long_visit_teaches_a_few_times_all_over() -> None:
    """Each event that teaches stands for those since the one before, for at most ten."""
    sampling = Sampling()
    taken = {n: sampling.takes("ann", LANDMARK_MS + n) for n in range(1, 101)}
    assert {n: stands_for for n, stands_for in taken.items() if stands_for} == {
        1: 1.0, 2: 1.0, 3: 1.0, 5: 2.0, 8: 3.0, 12: 4.0, 18: 6.0, 27: 9.0, 41: 10.0, 62: 10.0
    }  # fmt: skip
    assert sampling.takes("bob", LANDMARK_MS) == 1.0
    assert sampling.takes("ann", LANDMARK_MS + HOUR_MS) == 0.0
    assert sampling.takes("ann", LANDMARK_MS + HOUR_MS + 1) == 1.0


@given(st.lists(st.integers(0, HOUR_MS // 8), min_size=30, max_size=200), st.integers(0, HOUR_MS))
def test_no_hour_has_more_of_one_user(gaps_ms: list[int], begin_ms: int) -> None:
    """Wherever an hour of the clock ends."""
    sampling, taught, now_ms = Sampling(), [], LANDMARK_MS + begin_ms
    for gap_ms in gaps_ms:
        now_ms += gap_ms
        if sampling.takes("eve", now_ms):
            taught.append(now_ms)
        sampling.takes("ann", now_ms)
    assert taught
    for first, later in zip(taught, taught[OF_ONE_USER:], strict=False):
        assert later - first >= HOUR_MS


def test_clock_that_was_set_back_ends_nobodys_hour_for_long() -> None:
    sampling = Sampling()
    for n in range(100):
        sampling.takes("ann", LANDMARK_MS + 9 * HOUR_MS + n)
    assert sampling.takes("ann", LANDMARK_MS + 8 * HOUR_MS + 200) == 0.0
    assert sampling.takes("ann", LANDMARK_MS) == 1.0


def test_ten_thousand_events_of_one_user_move_no_weight_beyond_a_bound() -> None:
    """Within an hour, whatever the events say: `OF_ONE_USER` steps of `RATE`."""
    chance = np.random.default_rng(1)
    sampling, learner = Sampling(), starting_from(START)
    for n in range(10_000):
        if stands_for := sampling.takes("eve", LANDMARK_MS + n):
            features = chance.normal(0.0, 0.1, (50, len(FEATURES))).astype(np.float32)
            features[0] = 6.0
            learn(learner, features, 0, 2, stands_for=stands_for)
    assert learner.events == OF_ONE_USER
    moved = np.abs(learner.weights - START).max()
    assert 0.0 < moved <= OF_ONE_USER * RATE
