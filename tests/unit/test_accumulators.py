"""Sums by item: right whatever stands in the lists, and nothing left of them afterwards."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.accumulators import Accumulators

ITEMS = [f"item-{number}" for number in range(40)]
NUMBERS = st.integers(0, len(ITEMS) - 1)
TERMS = st.lists(st.tuples(NUMBERS, st.floats(-1.0, 1.0, width=32)), max_size=200)


def totals(
    slots: Accumulators,
    terms: list[tuple[int, float]],
    without: list[int] | None = None,
    factors: Mapping[int, float] | None = None,
) -> dict[int, float]:
    numbers, sums = slots.totals(
        np.array([number for number, _ in terms], np.intp),
        np.array([value for _, value in terms], np.float32),
        without=without or [],
        factors=factors or {},
    )
    assert len(set(numbers.tolist())) == len(numbers)
    return dict(zip(numbers.tolist(), sums.tolist(), strict=True))


def numbered() -> Accumulators:
    slots = Accumulators()
    slots.number(ITEMS)
    return slots


@given(TERMS, st.lists(NUMBERS), st.dictionaries(NUMBERS, st.floats(0.0, 8.0, width=32)))
def test_each_item_has_the_sum_of_its_terms(
    terms: list[tuple[int, float]], without: list[int], factors: dict[int, float]
) -> None:
    expected: dict[int, float] = {}
    for number, value in terms:
        expected[number] = expected.get(number, 0.0) + value
    for number, factor in factors.items():
        if number in expected:
            expected[number] *= factor
    expected |= {number: 0.0 for number in without if number in expected}
    assert totals(numbered(), terms, without, factors) == pytest.approx(expected, rel=1e-3, abs=1e-4)


@given(st.lists(TERMS, max_size=5), st.lists(NUMBERS), st.dictionaries(NUMBERS, st.floats(0.0, 8.0, width=32)))
def test_nothing_is_left_for_the_next_one(
    before: list[list[tuple[int, float]]], without: list[int], factors: dict[int, float]
) -> None:
    slots = numbered()
    for terms in before:
        totals(slots, terms, without, factors)
    assert totals(slots, [(number, 1.0) for number in range(len(ITEMS))]) == dict.fromkeys(range(len(ITEMS)), 1.0)


def test_numbers_are_for_ever_and_there_is_room_for_all() -> None:
    slots = Accumulators()
    assert slots.number(["a", "b", "a"]).tolist() == [0, 1, 0]
    many = [f"new-{number}" for number in range(5_000)]
    numbers = slots.number(many).tolist()
    assert slots.number(["b", "a"]).tolist() == [1, 0]
    assert [slots.ids[number] for number in numbers] == many
    assert totals(slots, [(number, 0.5) for number in numbers * 2]) == dict.fromkeys(numbers, 1.0)
    assert slots.find("new-1") == 3
    assert slots.find("never") is None
    assert slots.find_all(["b", "never", "a"]) == [1, 0]
