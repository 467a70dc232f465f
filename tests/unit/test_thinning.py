"""When pairs are thinned, and what the thinned sums are."""

from collections import defaultdict

import pytest

from app.core.features import Fold
from app.core.folded_pairs import MET, WEIGHT
from app.core.history import Entry
from app.core.model import MODEL
from app.core.pairing import PairTerms
from app.core.signals import LANDMARK_MS
from app.core.thinning import Thinning
from tests.support.folded_pairs import pairs_of

HISTORY = [Entry(f"item-{place:02d}", LANDMARK_MS - place, 1, 1.0) for place in range(20)]
EVENT = Entry("taken", LANDMARK_MS, 1, 1.0)
EVENTS = 4000


def sums_of(event_ids: list[str], *, thinned: bool) -> dict[tuple[str, str], list[float]]:
    terms = PairTerms(MODEL, thinned=thinned)
    for event_id in event_ids:
        terms.add(HISTORY, EVENT, event_id, 1.0, met=1)
    return pairs_of(Fold(pairs=terms))


def test_many_waiting_messages_begin_it_and_a_tenth_of_them_ends_it() -> None:
    thinning = Thinning(1000)
    seen = []
    for waiting in (0, 999, 1000, 500, 101, 100, 99, 100, 999, 2000):
        changed = thinning.follow(waiting)
        seen.append((thinning.is_on, changed))
    off, on = (False, False), (True, False)
    begins, ends = (True, True), (False, True)
    assert seen == [off, off, begins, on, on, on, ends, off, off, begins]


def test_setting_zero_never_thins() -> None:
    thinning = Thinning(0)
    assert not any(thinning.follow(waiting) or thinning.is_on for waiting in (0, 10**9))


def test_thinned_sums_are_those_of_all_pairs_on_average() -> None:
    ids = [f"event-{number}" for number in range(EVENTS)]
    whole, thinned = sums_of(ids, thinned=False), sums_of(ids, thinned=True)
    assert thinned.keys() == whole.keys()
    nearest = ("item-00", "taken")
    assert thinned[nearest] == pytest.approx(whole[nearest])
    for pair, sums in whole.items():
        # The greatest deviation is that of the farthest pair, 5 % at 4,000 events with p = 0.1.
        for column in range(4):
            assert thinned[pair][column] == pytest.approx(sums[column], rel=0.2), pair


def test_no_thinned_term_weighs_much_more_than_the_pair_next_to_the_event() -> None:
    kept = sums_of(["one-event"], thinned=True)
    assert 0 < len(kept) < len(HISTORY)
    for pair, sums in kept.items():
        assert 1.0 <= sums[WEIGHT] < 2.5, pair
        assert sums[MET] >= 1.0


def test_thinned_batch_in_parts_keeps_the_same_pairs() -> None:
    ids = [f"event-{number}" for number in range(40)]
    parts: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0] * 4)
    for part in (ids[30:], ids[:7], ids[7:30]):
        for pair, sums in sums_of(part, thinned=True).items():
            parts[pair] = [one + other for one, other in zip(parts[pair], sums, strict=True)]
    whole = sums_of(ids, thinned=True)
    assert parts.keys() == whole.keys()
    assert all(parts[pair] == pytest.approx(sums) for pair, sums in whole.items())
