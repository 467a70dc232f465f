"""The compiled loops equal plain ones; the sums themselves are tested with the candidates (test_candidates.py)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.core.accumulators import BY_ITEM, BY_LISTS, BY_OWN, carried_by, gather, places_of_best
from app.core.weights import FEATURES

SCORES = st.lists(st.sampled_from([-np.inf, 0.0, 0.25, 0.5, 1.0]) | st.floats(-1.0, 1.0, width=32), max_size=60)


@given(SCORES, st.integers(0, 70))
def test_the_best_places_are_those_of_a_sorted_list(scores: list[float], count: int) -> None:
    above = sorted((score for score in scores if score > 0.0), reverse=True)
    least = above[: count or None][-1] if above and count else np.inf
    found = places_of_best(np.array(scores, np.float32), count).tolist()
    assert sorted(found) == [place for place, score in enumerate(scores) if score >= least]
    assert [scores[place] for place in found] == sorted((scores[place] for place in found), reverse=True)


def gathered(words: list[int], rows: NDArray[np.int32], first: int) -> tuple[list[int], NDArray[np.float32]]:
    """Of numbers without lists, none of them the user's own."""
    numbers, sums = np.empty(len(words), np.int32), np.full((len(words), 4), np.nan, np.float32)
    facts, own = np.zeros(0), np.zeros((0, 4), np.float32)
    limits, repeats = np.zeros(0, np.int32), np.zeros(len(rows), np.float32)
    given = np.array(words, np.int32)
    count = gather(given, len(words), 0, 0, facts, limits, repeats, 0, rows, first, numbers, sums, own)
    return numbers[:count].tolist(), sums[:count]


@pytest.mark.parametrize("number", [-1, 5])
def test_an_item_number_of_another_table_is_refused(number: int) -> None:
    with pytest.raises(IndexError, match="another table"):
        gathered([0, number], np.zeros(5, np.int32), 1)


def test_rows_of_earlier_answers_are_not_taken_for_this_ones() -> None:
    rows = np.array([7, 1, 0, 6], np.int32)
    numbers, sums = gathered([3, 1, 3, 2], rows, 8)
    assert numbers == [3, 1, 2]
    assert rows.tolist() == [7, 9, 10, 8]
    assert not sums.any()


VALUES = st.floats(-3.0, 3.0, width=32)


@given(st.lists(st.tuples(st.tuples(*[VALUES] * 4), VALUES), max_size=20), st.data())
def test_what_carried_an_item_is_own_or_the_larger_part(
    given_rows: list[tuple[tuple[float, ...], float]], data: st.DataObject
) -> None:
    lists = np.array([row for row, _ in given_rows], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score in given_rows], np.float32)
    weights = np.ones(len(FEATURES), np.float32)
    own = data.draw(st.sets(st.integers(0, max(0, len(lists) - 1))))
    rows = list(range(-1, len(lists)))
    found = np.empty(len(rows), np.int64)
    carried_by(np.array(rows), lists, np.array(sorted(own), np.int64), weights, scores, found)
    part = ((lists[:, 0] + lists[:, 1]) + lists[:, 2]) + lists[:, 3]
    by_lists = part > np.maximum(scores - part, np.float32(0.0))
    expected = [BY_OWN if row in own else BY_LISTS if by_lists[row] else BY_ITEM for row in rows[1:]]
    assert found.tolist() == [BY_ITEM, *expected]
