"""The learner on planted structure, on hostile events, and over a restart. All by seed, without a server."""

import msgspec
import numpy as np
import pytest

from app.core.learning import RATE, WITHIN_REACH
from app.core.promotion import LEAST_TESTS
from app.core.ranking_learner import LearnerReport, RankingLearner, Serving, report_of
from app.core.ranking_samples import RankingSample, SamplingBudget, places
from app.core.sampling import OF_ONE_USER, Sampling
from app.core.signals import HOUR_MS
from app.core.weights import FEATURES, FIXED, START, Weights
from tests.support.planted import PLANTED, samples

SERVING = Serving(1, FIXED, FIXED)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_planted_structure_is_found_within_5000_events(seed) -> None:
    learner = RankingLearner(SERVING)
    verdicts = []
    for sample in samples(seed, 5_000):
        learner.teach(sample)
        if learner.since % 100 == 0 and (found := learner.verdict()):
            verdicts.append(found.action)
    assert verdicts[0] == "promote"
    test = list(samples(1_000 + seed, 500))

    def hit_rate(weights) -> float:
        return float(np.mean([places(sample, [weights])[0] <= 20 for sample in test]))

    best = hit_rate(PLANTED)
    assert hit_rate(learner.weights) > 0.97 * best
    assert hit_rate(FIXED) < 0.6 * best
    figures = learner.figures()
    assert figures["learned"].all.ndcg > 1.5 * figures["served"].all.ndcg


def hostile(seed: int, weights: Weights, stands_for: float):
    """An event of a user who always takes the worst candidate that teaches anything."""
    sample = next(samples(seed, 1))
    scores = sample.features @ weights[sample.size]
    worst = int(np.argsort(-scores)[min(WITHIN_REACH, len(scores)) - 1])
    return RankingSample(sample.features, worst, sample.size, True, stands_for)


@pytest.mark.parametrize("honest", [0, 5_000])
def test_10000_hostile_events_of_one_user_move_no_weight_beyond_the_bound(honest) -> None:
    """Within an hour. From the start the bound is `RATE` a sample; after 5,000 events of others it is much less."""
    learner = RankingLearner(SERVING)
    for sample in samples(7, honest):
        learner.teach(sample)
    before = learner.weights.copy()
    sampling, taught = Sampling(), 0
    for number in range(10_000):
        if stands_for := sampling.takes("mallory", number * HOUR_MS // 10_000):
            taught += learner.teach(hostile(8 + number, learner.weights, stands_for))
    assert taught == OF_ONE_USER
    moved = float(np.abs(learner.weights - before).max())
    assert moved <= (0.3 if honest else RATE * OF_ONE_USER)


def test_report_that_another_release_wrote_has_no_figures() -> None:
    learner = RankingLearner(SERVING)
    learner.teach(next(samples(0, 1)))
    report = msgspec.json.encode(learner.report())
    assert report_of(report, SERVING.version) == learner.report()
    for other in (None, b"{}", report.replace(b'"version"', b'"versions"')):
        assert report_of(other, SERVING.version) == LearnerReport(0, 0, {}, {}, None, SERVING.version)


def test_not_finite_sample_changes_nothing() -> None:
    learner = RankingLearner(SERVING)
    before = learner.encode()
    features = np.ones((5, len(FEATURES)), np.float32)
    features[2, 3] = np.nan
    assert not learner.teach(RankingSample(features, 1, 0, False))
    assert learner.encode() == before


def test_item_that_is_no_candidate_counts_as_a_miss_and_teaches_nothing() -> None:
    learner = RankingLearner(SERVING)
    assert learner.teach(RankingSample(np.empty((0, 0), np.float32), None, 0, True))
    assert learner.samples == 0
    assert {found.all.tests for found in learner.figures().values()} == {1}
    assert {found.all.hit_rate for found in learner.figures().values()} == {0.0}


def test_restored_learner_goes_on_where_it_was() -> None:
    learner = RankingLearner(SERVING)
    for sample in samples(3, 300):
        learner.teach(sample)
    restored = RankingLearner(SERVING)
    restored.restore(learner.encode())
    assert restored.weights == pytest.approx(learner.weights, abs=1e-6)
    assert (restored.samples, restored.since) == (300, 300)
    assert restored.figures() == learner.figures()


def test_restored_learner_knows_how_many_tests_the_version_has_had() -> None:
    """Also where more than it remembers."""
    learner = RankingLearner(SERVING)
    for sample in samples(3, 10):
        learner.teach(sample)
    learner.since = 50_000
    restored = RankingLearner(SERVING)
    restored.restore(learner.encode())
    assert restored.report().tests == 50_000
    assert restored.figures() == learner.figures()


@pytest.mark.parametrize("serves", [Serving(2, START, FIXED, 7), Serving(1, FIXED, FIXED, 8)])
def test_restored_learner_decides_anew_about_a_version_that_began_to_serve_meanwhile(serves: Serving) -> None:
    """Also about one that had served before."""
    learner = RankingLearner(Serving(1, FIXED, FIXED, 7))
    for sample in samples(3, 50):
        learner.teach(sample)
    restored = RankingLearner(serves)
    restored.restore(learner.encode())
    assert restored.since == 0
    assert restored.figures() == learner.figures()


def test_report_is_of_what_serves_alone_once_it_has_enough_tests() -> None:
    learner = RankingLearner(SERVING)
    for number, sample in enumerate(samples(4, 300 + LEAST_TESTS)):
        if number == 300:
            learner.serves(Serving(2, PLANTED, FIXED))
        before = learner.figures()["served"].all
        learner.teach(sample)
    after = learner.figures()["served"].all
    assert (before.tests, after.tests) == (300 + LEAST_TESTS - 1, LEAST_TESTS)
    assert after.ndcg > before.ndcg


def test_state_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not the state of a learner"):
        RankingLearner(SERVING).restore(b"\x93")


@pytest.mark.parametrize("sample_sec", [0.0001, 0.001, 0.01, 0.011, 0.03])
def test_budget_bounds_the_time_that_samples_take(sample_sec) -> None:
    budget, spent = SamplingBudget(0.02), 0.0
    for turn in range(200):  # twenty seconds of 20,000 events a second
        stride = budget.stride(2_000, 100.0 + turn / 10)
        for _ in range(2_000 // stride if stride else 0):
            budget.took(sample_sec / 2, samples=1)
            budget.took(sample_sec / 2)
            spent += sample_sec
    assert 0.5 <= spent / (20 * 0.02) <= 1.2


@pytest.mark.parametrize("pause_sec", [3.0, 3_600.0])
@pytest.mark.parametrize("samples_before", [0, 1, 100, 5_000])
def test_one_pause_of_the_machine_does_not_end_the_samples(samples_before: int, pause_sec: float) -> None:
    """As one within a sample; each of the others takes a millisecond."""
    budget = SamplingBudget(0.025)
    for _ in range(samples_before):
        budget.took(0.001, samples=1)
    budget.took(pause_sec, samples=1)
    taken = []
    for second in range(1, 600):
        stride = budget.stride(1_000, 100.0 + second)
        for _ in range(1_000 // stride if stride else 0):
            budget.took(0.001, samples=1)
            taken.append(second)
    assert 2 <= taken.count(599) <= 12
    assert len([second for second in taken if second > 300]) >= 1_000


def test_budget_takes_every_event_of_a_quiet_log() -> None:
    budget = SamplingBudget(0.02)
    strides = []
    for second in range(5):
        strides.append(budget.stride(3, 100.0 + second))
        for _ in range(3):
            budget.took(0.001, samples=1)
    assert strides == [1] * 5
