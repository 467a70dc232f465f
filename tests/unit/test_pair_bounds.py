"""Which pairs of an item go: those that are weak at both ends, and no longer young."""

import random

import numpy as np
import pytest

from app.core.model import MODEL
from app.core.neighbours import ItemSums, PairSums, evidence, similarity
from app.core.pair_bounds import NO_FLOOR, ItemEnd, judge, strength
from app.core.played_log import PlayedLog
from app.core.signals import DAY_MS, LANDMARK_MS
from app.core.synthetic import World, log
from tests.support.pruned_log import PrunedLog, scores


def test_few_pairs_are_all_kept() -> None:
    judged = judge(np.array([3.0, 1.0]), np.zeros(2), np.ones(2), np.zeros(2, np.bool_), kept=2)
    assert judged.floor == NO_FLOOR
    assert not judged.pruned.any()


def test_a_pair_that_is_weak_at_both_ends_goes() -> None:
    judged = judge(np.array([3.0, 1.0, 0.5]), np.array([1.0, 1.0, 1.0]), np.full(3, 2.0), np.zeros(3, np.bool_), kept=1)
    assert judged.floor == 3.0
    assert judged.pruned.tolist() == [False, True, True]


@pytest.mark.parametrize("floor", [NO_FLOOR, 1.0])
def test_a_pair_that_the_other_item_keeps_stays(floor: float) -> None:
    judged = judge(np.array([3.0, 1.0]), np.array([0.0, 1.0]), np.full(2, floor), np.zeros(2, np.bool_), kept=1)
    assert not judged.pruned.any()


def test_a_young_pair_stays() -> None:
    judged = judge(np.array([3.0, 1.0, 1.0]), np.zeros(3), np.ones(3), np.array([False, True, False]), kept=1)
    assert judged.pruned.tolist() == [False, False, True]


def test_strength_without_followers_is_the_similarity_of_lists() -> None:
    now_ms = LANDMARK_MS + 40 * 86_400_000
    pairs = PairSums(
        np.arange(2, dtype=np.int32),
        np.array([1.0, 2.0]),
        np.ones(2),
        np.zeros(2),
        frequencies=np.array([2.0, 7.0]),
        events=np.array([3.0, 9.0]),
        users=np.ones(2),
    )
    expected = similarity(pairs, ItemSums(5.0, 6.0, 1.0), now_ms)
    found = strength(
        pairs.weights,
        pairs.follows,
        ItemEnd(np.array([5.0]), np.array([6.0])),
        ItemEnd(pairs.frequencies, pairs.events),
        evidence(now_ms),
        MODEL,
    )
    assert found == pytest.approx(expected)


@pytest.mark.slow
def test_a_log_whose_items_keep_few_pairs_is_predicted_as_well() -> None:
    """Fewer than lists read, so that a log of seconds prunes some."""
    world = World(events=6_000, users=60, items=360, groups=1, hours=24.0 * 20, new_items=0.0)
    messages = list(log(world, random.Random(5).random))
    pruned = PrunedLog(kept=150, young_ms=DAY_MS, every=500)
    found, expected = scores(messages, pruned), scores(messages, PlayedLog())
    assert pruned.pairs.stored < pruned.pairs.ever * 0.9
    for name in expected:
        assert found[name].all.hit_rate >= 0.98 * expected[name].all.hit_rate
