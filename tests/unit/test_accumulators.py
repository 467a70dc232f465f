"""The compiled loops equal plain ones; the sums themselves are tested with the candidates (test_candidates.py)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.accumulators import accumulate, places_of_best

SCORES = st.lists(st.sampled_from([-np.inf, 0.0, 0.25, 0.5, 1.0]) | st.floats(-1.0, 1.0, width=32), max_size=60)


@given(SCORES, st.integers(0, 70))
def test_the_best_places_are_those_of_a_sorted_list(scores: list[float], count: int) -> None:
    above = sorted((score for score in scores if score > 0.0), reverse=True)
    least = above[: count or None][-1] if above and count else np.inf
    found = places_of_best(np.array(scores, np.float32), count).tolist()
    assert sorted(found) == [place for place, score in enumerate(scores) if score >= least]
    assert [scores[place] for place in found] == sorted((scores[place] for place in found), reverse=True)


@pytest.mark.parametrize("number", [-1, 5])
def test_an_item_number_of_another_table_is_refused(number: int) -> None:
    words = np.array([0, number], np.int32)
    lengths, weights, rows = np.array([2], np.int32), np.zeros(0, np.float32), np.zeros(5, np.int32)
    with pytest.raises(IndexError, match="another table"):
        accumulate(words, words.view(np.float32), lengths, 0, weights, rows)


def test_rows_left_by_another_answer_are_not_believed() -> None:
    words = np.array([3, 1, 3, 2], np.int32)
    rows = np.array([7, 1, 0, 1], np.int32)
    numbers, sums = accumulate(words, words.view(np.float32), np.array([4], np.int32), 0, np.zeros(0, np.float32), rows)
    assert numbers.tolist() == [3, 1, 2]
    assert rows[[3, 1, 2]].tolist() == [0, 1, 2]
    assert not sums.any()
