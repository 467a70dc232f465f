"""Sums by item: right whatever stands in the lists, and the highest of them found without all of them in order."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.item_index import ItemIndex, highest

ITEMS = [f"item-{number}" for number in range(40)]
NUMBERS = st.integers(0, len(ITEMS) - 1)
TERMS = st.lists(st.tuples(NUMBERS, st.floats(-1.0, 1.0, width=32)), max_size=200)
FACTORS = st.dictionaries(st.sampled_from([*ITEMS, "never"]), st.floats(0.0, 8.0, width=32))


def sums(index: ItemIndex, terms: list[tuple[int, float]], factors: Mapping[str, float] | None = None) -> list[float]:
    found = index.sums(
        np.array([number for number, _ in terms], np.intp),
        np.array([value for _, value in terms], np.float32),
        factors or {},
    )
    assert not found[len(index.ids) :].any()
    return found[: len(index.ids)].tolist()


def numbered() -> ItemIndex:
    index = ItemIndex()
    index.number(ITEMS)
    return index


@given(TERMS, FACTORS)
def test_each_item_has_the_sum_of_its_terms(terms: list[tuple[int, float]], factors: dict[str, float]) -> None:
    expected = [0.0] * len(ITEMS)
    for number, value in terms:
        expected[number] += value
    expected = [value * factors.get(item_id, 1.0) for item_id, value in zip(ITEMS, expected, strict=True)]
    assert sums(numbered(), terms, factors) == pytest.approx(expected, rel=1e-3, abs=1e-4)


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0, 2.0]), max_size=300), st.integers(1, 60))
def test_the_highest_are_among_those_found(values: list[float], count: int) -> None:
    padded = np.array(values + [0.0] * (-len(values) % 16), np.float32)
    found = highest(padded, count).tolist()
    above = sorted((value for value in values if value > 0.0), reverse=True)
    assert sorted((values[number] for number in found), reverse=True)[:count] == above[:count]
    if len(above) >= count:
        assert {number for number, value in enumerate(values) if value >= above[count - 1]} <= set(found)


def test_item_numbers_are_never_reused_and_have_no_bound() -> None:
    index = ItemIndex()
    assert index.number(["a", "b", "a"]).tolist() == [0, 1, 0]
    many = [f"new-{number}" for number in range(5_000)]
    numbers = index.number(many).tolist()
    assert index.number(["b", "a"]).tolist() == [1, 0]
    assert [index.ids[number] for number in numbers] == many
    assert sums(index, [(number, 0.5) for number in numbers * 2]) == [0.0, 0.0, *[1.0] * len(many)]
    assert index.find("new-1") == 3
    assert index.find("never") is None


def test_nothing_numbered_has_nothing_highest() -> None:
    index = ItemIndex()
    none = np.array([], np.intp), np.array([], np.float32)
    assert highest(index.sums(*none, {"never": 0.0}), 20).tolist() == []
