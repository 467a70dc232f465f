"""A quick learner beside the steady one: it takes over where users change, and only there. By seed."""

from collections.abc import Iterable

import msgspec
import numpy as np
import pytest

from app.core.learning import RATE, learn, starting_from
from app.core.paired_learner import learn_paired, paired_from
from app.core.ranking_learner import RankingLearner, Serving
from app.core.ranking_samples import RankingSample, places
from app.core.sampling import OF_ONE_USER
from app.core.weights import FEATURES, FIXED, START, Weights
from tests.support.planted import PLANTED, samples

SERVING = Serving(1, FIXED, FIXED)
# What users want afterwards: what was worth most is worth nothing.
CHANGED = np.roll(PLANTED, 5, axis=1)


def hits(weights: Iterable[Weights], tests: Iterable[RankingSample]) -> list[int]:
    contenders = list(weights)
    found = np.array([places(one, contenders) for one in tests])
    return ((found > 0) & (found <= 20)).sum(axis=0).tolist()


def test_what_stays_as_it_is_is_learned_in_small_steps() -> None:
    pair, alone = paired_from(START), starting_from(START)
    for sample in samples(3, 4_000):
        if sample.chosen is not None:
            learn_paired(pair, sample.features, sample.chosen, sample.size)
            learn(alone, sample.features, sample.chosen, sample.size)
    assert pair.changes <= 1  # at the very beginning larger steps are better
    assert np.abs(pair.weights - alone.weights).max() < 0.5


def test_what_changes_is_learned_anew() -> None:
    pair, alone = paired_from(START), starting_from(START)
    for sample in (*samples(4, 6_000), *samples(5, 1_500, CHANGED)):
        if sample.chosen is not None:
            learn_paired(pair, sample.features, sample.chosen, sample.size)
            learn(alone, sample.features, sample.chosen, sample.size)
    assert pair.changes >= 1
    paired, adagrad, best = hits((pair.weights, alone.weights, CHANGED), samples(6, 1_000, CHANGED))
    assert best - paired < 0.5 * (best - adagrad)


@pytest.mark.parametrize("seed", range(3))
def test_events_of_one_user_are_not_taken_for_a_change(seed: int) -> None:
    """As many as may teach in an hour, among the samples by which a change is found."""
    learner, chance = RankingLearner(SERVING), np.random.default_rng(seed)
    for sample in samples(seed, 3_000):
        learner.teach(sample)
    changes = learner.changes
    for number, sample in enumerate(samples(seed + 10, 300)):
        learner.teach(sample)
        if number % (300 // OF_ONE_USER) == 0:
            features = chance.normal(0.0, 0.1, (50, len(FEATURES))).astype(np.float32)
            features[0] = -6.0
            learner.teach(RankingSample(features, 0, sample.size, True))
    assert learner.changes == changes


def test_one_event_moves_no_weight_of_either_learner_by_more_than_the_rate() -> None:
    pair = paired_from(START)
    for sample in samples(7, 300):
        if sample.chosen is not None:
            steady, quick, changes = pair.steady.weights.copy(), pair.quick.weights.copy(), pair.changes
            learn_paired(pair, sample.features * 100.0, sample.chosen, sample.size, stands_for=10.0)
            assert np.abs(pair.quick.weights - quick).max() <= RATE + 1e-9
            assert np.abs(pair.steady.weights - steady).max() <= RATE + 1e-9 or pair.changes > changes


def test_hostile_user_moves_no_weight_beyond_the_bound_after_a_change_either() -> None:
    """Steps are larger again then. An hour's samples, that stand for others as such a user's do."""
    learner = RankingLearner(SERVING)
    for sample in (*samples(4, 5_000), *samples(5, 800, CHANGED)):
        learner.teach(sample)
    assert learner.changes > 0
    before, random = learner.weights.copy(), np.random.default_rng(6)
    for stands_for in (1, 1, 1, 2, 3, 4, 6, 9, 10, 10):
        features = random.uniform(0.0, 3.0, (60, len(FEATURES))).astype(np.float32)
        features[:, 6] = 0.0
        worst = int(np.argmin(features @ learner.weights[2]))
        features[worst, 6] = 5.0
        learner.teach(RankingSample(features, worst, 2, True, float(stands_for)))
    assert 0.1 < np.abs(learner.weights - before).max() <= RATE * OF_ONE_USER


def test_state_of_a_release_without_the_quick_learner_goes_on() -> None:
    learner = RankingLearner(SERVING)
    for sample in samples(8, 200):
        learner.teach(sample)
    state = learner.encode()
    again = RankingLearner(SERVING)
    again.restore(state)
    assert again.encode() == state
    older = msgspec.msgpack.encode(msgspec.msgpack.decode(state)[:8])
    again.restore(older)
    assert again.samples == learner.samples
    assert again.weights == pytest.approx(learner.weights, abs=1e-6)
    for sample in samples(9, 200):
        assert again.teach(sample)
