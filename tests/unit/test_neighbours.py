"""Similarities that rest on evidence, and the neighbours that are kept."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.item_index import ItemIndex
from app.core.model import MODEL
from app.core.neighbours import Neighbours, evidence, neighbours_of, similarity
from app.core.signals import COVISITATION_HALF_LIFE_MS, DAY_MS, LANDMARK_MS, forward_weight

NOW_MS = LANDMARK_MS
INDEX = ItemIndex()
ITEMS = st.sampled_from([f"item-{number}" for number in range(30)])


def members(neighbours: Neighbours) -> list[str]:
    return [INDEX.ids[number] for number in array("i", neighbours.numbers)]


@given(st.floats(0.01, 1e4), st.floats(0.01, 1e4), st.floats(0.01, 1e4), st.integers(0, 3_000))
def test_a_similarity_fades_with_its_evidence_only(weight: float, seed: float, other: float, days: int) -> None:
    """All three sums shrink alike with time; what is left of it is that thin evidence counts less."""
    now = similarity(weight, seed, other, NOW_MS)
    later = similarity(weight, seed, other, NOW_MS + days * DAY_MS)
    assert 0.0 < later <= now * 1.000001
    assert similarity(2 * weight, seed, other, NOW_MS) > now > similarity(weight, 2 * seed, other, NOW_MS)


def test_of_two_that_fit_alike_the_rare_one_is_less_similar() -> None:
    """A tenth of the meetings with a tenth of the users; but the common one is not preferred for being common."""
    assert similarity(0.2, 3.0, 0.3, NOW_MS) < similarity(2.0, 3.0, 3.0, NOW_MS)
    assert similarity(2.0, 3.0, 100.0, NOW_MS) > similarity(2.0, 3.0, 200.0, NOW_MS)


def test_the_evidence_that_halves_a_similarity_is_stored_at_its_time() -> None:
    half = evidence(NOW_MS + 400 * DAY_MS)
    assert half == pytest.approx(MODEL.shrinkage * forward_weight(NOW_MS + 400 * DAY_MS, COVISITATION_HALF_LIFE_MS))


@given(st.lists(st.tuples(ITEMS, st.floats(0.001, 50.0), st.floats(0.1, 50.0)), max_size=30, unique_by=lambda p: p[0]))
def test_the_order_of_the_sql_is_that_of_the_similarity(pairs: list[tuple[str, float, float]]) -> None:
    """app/adapters/features.sql cuts lists by this expression; it must never cut off what would rank higher."""
    half = evidence(NOW_MS)
    by_sql = [w / other**MODEL.candidate_power * (other / (other + half)) for _, w, other in pairs]
    by_core = [similarity(w, 3.0, other, NOW_MS) for _, w, other in pairs]
    for sql_one, one in zip(by_sql, by_core, strict=True):
        for sql_other, other_one in zip(by_sql, by_core, strict=True):
            assert sql_one <= sql_other * 1.000001 or one >= other_one * 0.999999


def test_neighbours_are_the_most_similar_ones() -> None:
    numbers = range(1, MODEL.neighbours + 20)
    pairs = [f"item-{number}" for number in numbers], [float(number) for number in numbers], [10.0] * len(numbers)
    found = neighbours_of(5.0, 1.0, pairs, now_ms=NOW_MS, index=INDEX)
    assert members(found)[0] == f"item-{MODEL.neighbours + 19}"
    assert len(members(found)) == MODEL.neighbours
    similarities = array("f", found.similarities).tolist()
    assert similarities == sorted(similarities, reverse=True)
    assert similarities[0] == pytest.approx(similarity(MODEL.neighbours + 19.0, 5.0, 10.0, NOW_MS))
    assert found.repeat_rate == pytest.approx(1.0 / (5.0 + MODEL.repeat_evidence))


def test_an_item_without_frequency_has_no_neighbours() -> None:
    assert neighbours_of(0.0, 0.0, (["a"], [1.0], [1.0]), now_ms=NOW_MS, index=INDEX) == Neighbours()
    unusable = ["a", "b"], [1.0, 0.0], [0.0, 1.0]
    assert members(neighbours_of(1.0, 0.0, unusable, now_ms=NOW_MS, index=INDEX)) == []
