"""Similarities that rest on evidence, and the neighbours and followers that are kept."""

from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.model import MODEL
from app.core.neighbours import NO_NEIGHBOURS, ItemSums, PairSums, evidence, neighbours_of, similarity
from app.core.signals import COVISITATION_HALF_LIFE_MS, DAY_MS, LANDMARK_MS, forward_weight

NOW_MS = LANDMARK_MS
SEED = ItemSums(frequency=5.0, events=5.0, users=5.0)


def pairs_of(*weights: float, **columns: float) -> PairSums:
    """Pairs with these weights; the other sums are 10, and what `columns` says."""
    given_ = {"met": 1.0, "follows": 0.0, "frequencies": 10.0, "events": 10.0, "users": 10.0} | columns
    columns_: dict[str, Any] = {name: np.full(len(weights), value) for name, value in given_.items()}
    return PairSums(np.arange(1, len(weights) + 1, dtype=np.int32), np.array(weights), **columns_)


def one(weight: float, frequency: float = 3.0, other: float = 3.0, now_ms: int = NOW_MS) -> float:
    pair = pairs_of(weight, frequencies=other, events=other)
    return float(similarity(pair, ItemSums(frequency, frequency, 1.0), now_ms)[0])


@given(st.floats(0.01, 1e4), st.floats(0.01, 1e4), st.floats(0.01, 1e4), st.integers(0, 3_000))
def test_a_similarity_fades_with_its_evidence_only(weight: float, seed: float, other: float, days: int) -> None:
    """All sums shrink alike with time; what is left of it is that thin evidence counts less."""
    now = one(weight, seed, other)
    assert 0.0 < one(weight, seed, other, NOW_MS + days * DAY_MS) <= now * 1.000001
    assert one(2 * weight, seed, other) > now > one(weight, 2 * seed, other)


@given(st.floats(0.01, 10.0), st.floats(0.1, 10.0), st.floats(0.1, 10.0), st.floats(0.1, 10.0))
def test_what_signals_weigh_cancels_out(weight: float, seed: float, other: float, scale: float) -> None:
    """A log of views alone has the similarities of one of purchases: evidence is counted in events."""
    of_purchases, of_views = (
        similarity(
            pairs_of(weight * unit, frequencies=other * unit, events=other), ItemSums(seed * unit, seed, 1.0), NOW_MS
        )
        for unit in (1.0, scale)
    )
    assert of_views == pytest.approx(of_purchases)


def test_of_two_that_fit_alike_the_rare_one_is_less_similar() -> None:
    """A tenth of the meetings with a tenth of the users; but the common one is not preferred for being common."""
    assert one(0.2, other=0.3) < one(2.0, other=3.0)
    assert one(2.0, other=100.0) > one(2.0, other=200.0)


def test_the_evidence_that_halves_a_similarity_is_stored_at_its_time() -> None:
    half = evidence(NOW_MS + 400 * DAY_MS)
    assert half == pytest.approx(MODEL.shrinkage * forward_weight(NOW_MS + 400 * DAY_MS, COVISITATION_HALF_LIFE_MS))


def test_neighbours_are_the_most_similar_ones() -> None:
    weights = [float(number) for number in range(1, MODEL.neighbours + 20)]
    pairs = pairs_of(*weights)
    found = neighbours_of(SEED, pairs, now_ms=NOW_MS)
    entries = found.neighbour_entries()
    numbers = entries["number"]
    assert len(numbers) == MODEL.neighbours
    assert numbers.tolist() == [*range(MODEL.neighbours + 19, 19, -1)]
    assert entries["similarity"] == pytest.approx(similarity(pairs, SEED, NOW_MS)[::-1][: MODEL.neighbours], rel=1e-6)
    assert entries["lasting"] == pytest.approx(np.full(MODEL.neighbours, 1.0 / sqrt(6.0 * 20.0)))
    assert len(found.follower_entries()) == 0


def test_followers_are_those_that_come_next_most_often() -> None:
    pairs = PairSums(
        np.arange(3, dtype=np.int32), np.ones(3), np.ones(3), np.array([1.0, 0.0, 3.0]), *[np.full(3, 10.0)] * 3
    )
    found = neighbours_of(SEED, pairs, now_ms=NOW_MS)
    entries = found.follower_entries()
    assert entries["number"].tolist() == [2, 0]
    assert entries["following"] == pytest.approx([3.0 / 5.0 * (5.0 / 6.0), 1.0 / 5.0 * (5.0 / 6.0)])


def test_a_similarity_of_users_who_met_both_does_not_age() -> None:
    now, later = (
        neighbours_of(SEED, pairs_of(1.0), now_ms=NOW_MS + days * DAY_MS).neighbour_entries() for days in (0, 2_000)
    )
    assert now["lasting"].tolist() == later["lasting"].tolist()
    assert later["similarity"][0] < 0.01 * now["similarity"][0]


def test_an_item_without_frequency_has_no_neighbours() -> None:
    assert neighbours_of(ItemSums(0.0, 0.0, 0.0), pairs_of(1.0), now_ms=NOW_MS) == NO_NEIGHBOURS
    assert neighbours_of(SEED, pairs_of(0.0), now_ms=NOW_MS) == NO_NEIGHBOURS


def test_an_item_whose_sums_are_not_there_yet_is_no_neighbour() -> None:
    ones = np.ones(2)
    pairs = PairSums(np.array([1, 2], np.int32), ones, ones, ones, np.array([0.0, 1.0]), ones, ones)
    found = neighbours_of(ItemSums(1.0, 1.0, 1.0), pairs, now_ms=LANDMARK_MS)
    assert found.neighbour_entries()["number"].tolist() == [2]
