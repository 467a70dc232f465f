"""The pairs of a played log: each item sees its pairs from its own side."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.item_index import ItemIndex
from app.core.pair_lists import FOLLOWS, MET, WEIGHT, PairLists
from tests.support.folded_pairs import folded_pairs

NAMES = [f"item-{number}" for number in range(12)]
SUMS = st.lists(st.integers(1, 9).map(float), min_size=4, max_size=4)
PAIRS = st.dictionaries(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).filter(lambda pair: pair[0] < pair[1]), SUMS
)


@given(st.lists(PAIRS, max_size=6))
def test_each_item_has_the_sums_of_all_its_pairs(batches: list[dict[tuple[str, str], list[float]]]) -> None:
    index = ItemIndex()
    lists = PairLists(index)
    expected: dict[tuple[str, str], list[float]] = {}
    changes = dict.fromkeys(NAMES, 0)
    for batch in batches:
        index.number([item_id for pair in batch for item_id in pair])
        lists.add(folded_pairs(batch))
        for (one, other), (weight, met, forth, back) in batch.items():
            for key, follows in (((one, other), forth), ((other, one), back)):
                held = expected.setdefault(key, [0.0, 0.0, 0.0])
                held[WEIGHT] += weight
                held[MET] += met
                held[FOLLOWS] += follows
                changes[key[0]] += 1
    for number, item_id in enumerate(index.ids):
        numbers, sums = lists.of(number)
        others = [index.ids[other] for other in numbers.tolist()]
        assert sorted(others) == sorted(other for one, other in expected if one == item_id)
        for other, row in zip(others, sums.tolist(), strict=True):
            assert row == pytest.approx(expected[item_id, other])
        assert lists.changes[number] == changes[item_id]


def test_a_table_of_pairs_grows() -> None:
    index = ItemIndex()
    lists = PairLists(index)
    pairs = {("a", f"item-{number:04}"): [float(number), 1.0, 2.0, 3.0] for number in range(3_000)}
    index.number(["a", *(other for _, other in pairs)])
    lists.add(folded_pairs(pairs))
    numbers, sums = lists.of(0)
    assert numbers.tolist() == [*range(1, 3_001)]
    assert sums[:, WEIGHT].tolist() == [float(number) for number in range(3_000)]
    assert lists.of(3_000)[1].tolist() == [[2_999.0, 1.0, 3.0]]
