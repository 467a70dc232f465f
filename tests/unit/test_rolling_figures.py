"""Figures of several rankings over the latest tests, against figures computed from a plain list."""

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.rolling_figures import CONTENDERS, LENGTH, RollingFigures

PLACES = st.lists(st.integers(0, 40), min_size=len(CONTENDERS), max_size=len(CONTENDERS))
TESTS = st.lists(st.tuples(PLACES, st.booleans()), max_size=60)
WINDOW = 25


def played(tests: list[tuple[list[int], bool]], window: int = WINDOW) -> RollingFigures:
    figures = RollingFigures(window)
    for places, is_new in tests:
        figures.add(places, is_new=is_new)
    return figures


def gains(places: list[int]) -> list[float]:
    return [1.0 / log2(place + 1) if 0 < place <= LENGTH else 0.0 for place in places]


@given(TESTS, st.sampled_from(CONTENDERS), st.booleans())
def test_figures_are_those_of_the_last_tests(tests, contender, new_only) -> None:
    column = CONTENDERS.index(contender)
    last = [places[column] for places, is_new in tests[-WINDOW:] if is_new or not new_only]
    hits = [place for place in last if 0 < place <= LENGTH]
    found = played(tests).figures(contender, new_only=new_only)
    assert found.tests == len(last)
    assert found.hit_rate == pytest.approx(len(hits) / max(1, len(last)))
    assert found.ndcg == pytest.approx(sum(gains(last)) / max(1, len(last)))
    assert found.mrr == pytest.approx(sum(1.0 / place for place in hits) / max(1, len(last)))


@given(TESTS, st.integers(0, 80))
def test_difference_is_paired_and_of_the_last_tests(tests, last) -> None:
    kept = [places for places, _ in tests[-WINDOW:]]
    kept = kept[-last:] if last else []
    found = played(tests).difference("learned", "served", last=last)
    assert found.tests == len(kept)
    if kept:
        differences = np.array(
            [gains(places)[CONTENDERS.index("learned")] - gains(places)[CONTENDERS.index("served")] for places in kept]
        )
        assert found.mean == pytest.approx(differences.mean())
        assert found.error == pytest.approx(differences.std() / np.sqrt(len(kept)))


@given(TESTS)
def test_restored_figures_are_the_same(tests) -> None:
    figures = played(tests)
    restored = RollingFigures(WINDOW)
    restored.restore(*figures.encode())
    for name in CONTENDERS:
        for new_only in (False, True):
            assert restored.figures(name, new_only=new_only) == figures.figures(name, new_only=new_only)


def test_bytes_of_other_contenders_are_refused() -> None:
    with pytest.raises(ValueError, match="other contenders"):
        RollingFigures().restore(b"\1" * (len(CONTENDERS) + 1), b"\0")
