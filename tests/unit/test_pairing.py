"""The sums of pairs against their definition, term by term."""

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from app.core.features import Fold
from app.core.history import Entry
from app.core.model import MODEL
from app.core.pairing import PairTerms
from app.core.signals import DAY_MS, LANDMARK_MS, forward_weight
from tests.support.folded_pairs import folded_pairs, pairs_of

NARROW = structs.replace(MODEL, pair_window=4)
ENTRIES = st.builds(
    Entry,
    st.integers(0, 9).map(lambda number: f"item-{number}"),
    st.integers(0, 12).map(lambda day: LANDMARK_MS + day * DAY_MS),
    st.integers(0, 3),
    st.sampled_from([1.0, 0.5, 0.3, -0.2]),
)


def by_definition(entries: list[Entry], event: Entry, share: float, is_new: bool) -> dict[tuple[str, str], list[float]]:
    met = {event.item_id}
    others = [entry for entry in entries if entry.item_id not in met and not met.add(entry.item_id)]
    newer = [entry for entry in others if entry.at_ms > event.at_ms]
    older = [entry for entry in others if entry.at_ms <= event.at_ms]
    found = {}
    for near in (older[: NARROW.pair_window], newer[::-1][: NARROW.pair_window]):
        for entry in near:
            between = [other.at_ms for other in near].index(entry.at_ms)
            first, last = sorted((entry, event), key=lambda one: one.at_ms)
            factor = share * forward_weight(last.at_ms, NARROW.covisitation_half_life_ms)
            weight = factor / (1 + between / NARROW.pair_distance) * sqrt(max(0.0, entry.weight * event.weight))
            follows = factor / (1 + between) * last.weight if first.at_ms < last.at_ms else 0.0
            pair = min(entry.item_id, event.item_id), max(entry.item_id, event.item_id)
            if entry.weight > 0.0:
                found[pair] = [weight, float(is_new), *((follows, 0.0)[:: 1 if first.item_id == pair[0] else -1])]
    return found


@given(st.lists(st.tuples(st.lists(ENTRIES, max_size=12), ENTRIES, st.floats(0.01, 1.0), st.booleans()), max_size=4))
def test_sums_of_pairs_are_those_of_their_terms(events: list[tuple[list[Entry], Entry, float, bool]]) -> None:
    terms, expected = PairTerms(NARROW), {}
    for entries, event, share, is_new in events:
        entries.sort(key=lambda entry: (-entry.at_ms, entry.item_id, -entry.kind, -entry.weight))
        liked = structs.replace(event, weight=abs(event.weight))
        terms.add(entries, liked, "event", share, met=is_new)
        for pair, sums in by_definition(entries, liked, share, is_new).items():
            held = expected.get(pair, [0.0] * 4)
            expected[pair] = [one + other for one, other in zip(held, sums, strict=True)]
    found = pairs_of(Fold(pairs=terms))
    assert found.keys() == expected.keys()
    for pair, sums in found.items():
        assert sums == pytest.approx(expected[pair]), pair


def test_pairs_of_other_items_are_left_out() -> None:
    sums = {("a", "b"): [1.0, 0.0, 0.0, 0.0], ("a", "c"): [2.0, 1.0, 0.5, 0.0], ("b", "c"): [3.0, 0.0, 0.0, 0.25]}
    kept = folded_pairs(sums).between({"a", "c", "d"})
    assert pairs_of(kept) == {("a", "c"): sums["a", "c"]}
    assert kept.ids == ["a", "c"]
    assert not folded_pairs(sums).between({"b"})
