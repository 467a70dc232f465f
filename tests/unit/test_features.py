"""Histories that do not depend on the order of arrival, and what a batch adds to items and pairs."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.core import history as histories
from app.core.features import (
    NO_HISTORY,
    Entry,
    Fold,
    History,
    ItemDelta,
    Kind,
    decode_history,
    encode_history,
    fold,
)
from app.core.history import MAX_ITEMS, MAX_SEEN_HASHES, seen_hash
from app.core.item_features import SUMS
from app.core.messages import (
    ClickMessage,
    ImpressionMessage,
    Message,
    PurchaseMessage,
    ShownItemMessage,
    ViewMessage,
    WatchMessage,
)
from app.core.model import MODEL
from app.core.signals import (
    CLICK_WEIGHT,
    HOUR_MS,
    LANDMARK_MS,
    VIEW_WEIGHT,
)
from tests.support.folded_pairs import pairs_of
from tests.support.histories import merge_history

# Few items and times, so that ties, repeats and a history that is full are the rule and not the exception.
ENTRIES = st.lists(
    st.builds(
        Entry,
        st.integers(0, MAX_ITEMS + 15).map(lambda number: f"item-{number}"),
        st.integers(0, 60),
        st.sampled_from([int(kind) for kind in Kind]),
        st.sampled_from([-0.2, 0.3, 1.0]),
    ),
    max_size=200,
)


def by_definition(entries: Sequence[Entry]) -> History:
    """The history of a set of entries, as app/core/history.py says in words; slow and plain."""
    latest: dict[tuple[str, int], Entry] = {}
    for entry in entries:
        key = entry.item_id, entry.kind
        held = latest.get(key)
        if held is None or (entry.at_ms, entry.weight) > (held.at_ms, held.weight):
            latest[key] = entry
    newest: dict[str, int] = {}
    for entry in latest.values():
        newest[entry.item_id] = max(newest.get(entry.item_id, entry.at_ms), entry.at_ms)
    places = sorted((-at_ms, item_id) for item_id, at_ms in newest.items())
    kept = list(latest.values())
    if len(places) >= MAX_ITEMS:
        kept = [entry for entry in kept if (-entry.at_ms, entry.item_id) <= places[MAX_ITEMS - 1]]
    kept.sort(key=lambda entry: (-entry.at_ms, entry.item_id, -entry.kind, -entry.weight))
    seen_hashes = (
        sorted({seen_hash(item_id) for item_id in newest})[:MAX_SEEN_HASHES] if len(newest) > MAX_ITEMS else []
    )
    return History(tuple(kept), tuple(seen_hashes))


def without_sums(history: History) -> History:
    return History(tuple(replace(entry, other_weight=0) for entry in history.entries), history.seen_hashes)


@given(ENTRIES, st.randoms(use_true_random=False), st.integers(0, 200))
def test_any_order_split_and_repetition_gives_the_same_entries(entries: list[Entry], chance: Any, cut: int) -> None:
    shuffled = entries + entries[::3]
    chance.shuffle(shuffled)
    merged = merge_history(merge_history(NO_HISTORY, shuffled[:cut]), shuffled[cut:])
    assert without_sums(merged) == by_definition(entries)


@given(ENTRIES, st.randoms(use_true_random=False), st.integers(0, 200))
def test_held_items_keep_the_sum_of_all_weights_in_any_order(entries: list[Entry], chance: Any, cut: int) -> None:
    kept = [entry for entry in entries if entry.item_id in {f"item-{number}" for number in range(MAX_ITEMS)}]
    shuffled = list(kept)
    chance.shuffle(shuffled)
    merged = merge_history(merge_history(NO_HISTORY, shuffled[:cut]), shuffled[cut:])
    for entry in merged.entries:
        same = [other for other in kept if (other.item_id, other.kind) == (entry.item_id, entry.kind)]
        whole = sum(other.weight * 2 ** ((other.at_ms - entry.at_ms) / MODEL.weekly_half_life_ms) for other in same)
        assert entry.weight + entry.other_weight == pytest.approx(whole)


@given(ENTRIES)
def test_a_stored_history_is_read_as_it_was(entries: list[Entry]) -> None:
    history = merge_history(NO_HISTORY, entries)
    assert decode_history(encode_history(history)) == history


def test_old_items_leave_a_mark_and_new_ones_come_first() -> None:
    history = merge_history(NO_HISTORY, [Entry(f"item-{at}", at, Kind.VIEW, 0.3) for at in range(MAX_ITEMS + 1)])
    assert [entry.item_id for entry in history.entries] == [f"item-{at}" for at in range(MAX_ITEMS, 0, -1)]
    assert seen_hash("item-0") in history.seen_hashes
    assert len(history.seen_hashes) == MAX_ITEMS + 1


def test_seen_hashes_are_bounded_and_stay_a_join(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "MAX_SEEN_HASHES", 60)
    entries = [Entry(f"item-{at}", at, Kind.VIEW, 0.3) for at in range(120)]
    forward = merge_history(NO_HISTORY, entries)
    backward = merge_history(merge_history(NO_HISTORY, entries[60:]), reversed(entries[:60]))
    assert forward == backward
    assert list(forward.seen_hashes) == sorted(seen_hash(entry.item_id) for entry in entries)[:60]


def event(kind: type[Any], item_id: str, at_ms: int, user_id: str = "ann", **fields: Any) -> Any:
    number = f"{user_id}-{item_id}-{at_ms}".ljust(8, "-")
    at_ms += LANDMARK_MS
    common = {"v": 1, "event_id": number, "user_id": user_id, "session_id": "s", "ts_ms": at_ms, "received_ms": at_ms}
    return kind(item_id=item_id, **common, **fields)


def weights(folded: Fold) -> dict[str, float]:
    return {"".join(pair): pytest.approx(sums[0]) for pair, sums in pairs_of(folded).items()}


def popularity(folded: Fold, item_id: str) -> list[float]:
    """By each half-life, at one time for all."""
    copied = replace(folded.items[item_id])
    copied.add_popularity(MODEL, LANDMARK_MS + 1_000 * HOUR_MS, 0.0, 0.0, 0.0)
    return [copied.popular_hours, copied.popular_day, copied.popular_week]


def test_an_event_pairs_with_what_is_near_and_less_with_what_is_far() -> None:
    folded = fold([event(PurchaseMessage, item_id, at) for at, item_id in enumerate("abc")], {})
    assert weights(folded) == pytest.approx({"ab": 1.0, "bc": 1.0, "ac": 1.0 / (1.0 + 1.0 / MODEL.pair_distance)})
    assert [entry.item_id for entry in folded.histories["ann"].entries] == ["c", "b", "a"]


@pytest.mark.parametrize("timestamps", [{"z": 2, "abc": 1}, {"z": 0, "abc": 1}], ids=["after", "late"])
def test_events_of_one_timestamp_have_one_distance(timestamps: dict[str, int]) -> None:
    """Whatever the ids, and on whichever side of it an event comes."""
    basket = [event(PurchaseMessage, item_id, timestamps["abc"] * HOUR_MS) for item_id in "abc"]
    before = event(PurchaseMessage, "y", (2 - timestamps["z"]) * HOUR_MS)
    stored = fold([before, *basket], {}).histories
    pairs = pairs_of(fold([event(PurchaseMessage, "z", timestamps["z"] * HOUR_MS)], stored))
    assert pairs["a", "z"] == pairs["b", "z"] == pairs["c", "z"]
    assert pairs["y", "z"][0] == pytest.approx(pairs["a", "z"][0] / (1.0 + 3.0 / MODEL.pair_distance), rel=0.01)


def test_a_late_event_pairs_on_both_sides() -> None:
    stored = fold([event(PurchaseMessage, "a", 0), event(PurchaseMessage, "c", 2 * HOUR_MS)], {}).histories
    late = fold([event(PurchaseMessage, "b", HOUR_MS)], stored)
    assert weights(late).keys() == {"ab", "bc"}
    assert pairs_of(late)["b", "c"][0] > pairs_of(late)["a", "b"][0]  # it is as old as the later of the two


def test_the_window_bounds_the_pairs_of_an_event() -> None:
    items = [f"item-{number:02}" for number in range(MODEL.pair_window + 10)]
    stored = fold([event(PurchaseMessage, item_id, at) for at, item_id in enumerate(items)], {}).histories
    last = fold([event(PurchaseMessage, "last", 1_000)], stored)
    assert {pair[0] for pair in pairs_of(last)} == set(items[-MODEL.pair_window :])


def test_a_pair_weighs_the_mean_of_what_the_two_events_say() -> None:
    folded = fold([event(ClickMessage, "a", 0), event(ViewMessage, "b", 1)], {})
    assert weights(folded) == {"ab": (CLICK_WEIGHT * VIEW_WEIGHT) ** 0.5}


def test_an_abandoned_watch_counts_against_the_item_and_makes_no_pair() -> None:
    folded = fold([event(PurchaseMessage, "a", 0), event(WatchMessage, "b", 1, watch_time_sec=2.0)], {})
    assert not folded.pairs.sums()
    assert folded.items["b"].popular_week < 0.0 == folded.items["b"].frequency
    assert (folded.items["b"].events, folded.items["b"].users) == (0.0, 0)
    assert (folded.items["b"].watches, folded.items["b"].watch_ms) == (1, 2_000)
    assert [entry.item_id for entry in folded.histories["ann"].entries] == ["b", "a"]


@pytest.mark.parametrize(("later_ms", "returned"), [(HOUR_MS, 0.0), (7 * HOUR_MS, 1.0)])
def test_an_item_of_an_earlier_visit_adds_repeat_weight(later_ms: int, returned: float) -> None:
    folded = fold([event(PurchaseMessage, "a", 0), event(PurchaseMessage, "a", later_ms)], {})
    assert folded.items["a"].repeat_weight == pytest.approx(returned, rel=0.01)
    assert folded.items["a"].purchases == 2


def test_an_impression_is_counted_and_touches_nothing_else() -> None:
    shown = [ShownItemMessage(item_id="a", position=0), ShownItemMessage(item_id="b", position=1)]
    fields: Any = {"v": 1, "event_id": "shown-01", "session_id": "s", "ts_ms": 1, "received_ms": 1}
    folded = fold([ImpressionMessage(user_id="ann", items=shown, **fields)], {})
    assert not folded.histories
    assert not folded.pairs.sums()
    assert {item_id: delta.impressions for item_id, delta in folded.items.items()} == {"a": 1, "b": 1}


MESSAGES = st.lists(
    st.builds(
        lambda kind, number, at, user: event(kind, f"item-{number}", at * HOUR_MS, f"user-{user}"),
        st.sampled_from([ViewMessage, ClickMessage, PurchaseMessage]),
        st.integers(0, 8),
        st.integers(0, 40),
        st.integers(0, 2),
    ),
    max_size=40,
)


@given(MESSAGES, st.integers(0, 40))
def test_batches_may_be_cut_anywhere(messages: list[Message], cut: int) -> None:
    whole = fold(messages, {})
    first = fold(messages[:cut], {})
    second = fold(messages[cut:], first.histories)
    assert first.histories | second.histories == whole.histories
    for item_id, delta in whole.items.items():
        parts = ItemDelta()
        for part in (second, first):
            if item_id in part.items:
                parts.add(part.items[item_id], MODEL)
        assert [getattr(parts, name) for name in SUMS] == pytest.approx([getattr(delta, name) for name in SUMS])
    of_whole, *of_parts = map(pairs_of, (whole, first, second))
    for pair, sums in of_whole.items():
        parts_of = [part.get(pair, [0.0] * 4) for part in of_parts]
        assert [sum(terms) for terms in zip(*parts_of, strict=True)] == pytest.approx(sums)
    assert of_parts[0].keys() | of_parts[1].keys() == of_whole.keys()


@given(MESSAGES, st.randoms(use_true_random=False))
def test_histories_and_popularity_do_not_depend_on_the_order(messages: list[Message], chance: Any) -> None:
    shuffled = list(messages)
    chance.shuffle(shuffled)
    one, other = fold(messages, {}), fold(shuffled, {})
    assert one.histories.keys() == other.histories.keys()
    for user_id, history in one.histories.items():
        assert without_sums(history) == without_sums(other.histories[user_id])
    for item_id, delta in one.items.items():
        assert popularity(other, item_id) == pytest.approx(popularity(one, item_id))
        assert (other.items[item_id].views, other.items[item_id].first_ms) == (delta.views, delta.first_ms)
        of_item = [message.user_id for message in messages if message.item_id == item_id]
        if max(map(of_item.count, of_item)) <= MODEL.user_linear:
            sums = ("frequency", "events", "users")
            assert [getattr(other.items[item_id], name) for name in sums] == pytest.approx(
                [getattr(delta, name) for name in sums]
            )


# One user and two items, so that a user's weight saturates; the weights of watches differ.
EAGER = st.lists(
    st.builds(
        lambda percent, number, days: event(
            WatchMessage, f"item-{number}", days * 24 * HOUR_MS, watch_time_sec=5.0, percent_watched=percent
        ),
        st.sampled_from([0.0, 20.0, 60.0, 100.0]),
        st.integers(0, 1),
        st.floats(0.0, 30.0),
    ),
    max_size=40,
)


@given(EAGER, st.randoms(use_true_random=False))
def test_popularity_does_not_depend_on_the_order_where_it_saturates(messages: list[Message], chance: Any) -> None:
    shuffled = list(messages)
    chance.shuffle(shuffled)
    one, other = fold(messages, {}), fold(shuffled, {})
    for item_id in one.items:
        # By the week, which saturation is reckoned by.
        assert popularity(other, item_id)[-1] == pytest.approx(popularity(one, item_id)[-1], abs=1e-6)


def test_three_hundred_purchases_of_one_user_weigh_less_than_those_of_ten() -> None:
    beside = event(PurchaseMessage, "b", 0)
    pushed = fold([beside, *(event(PurchaseMessage, "a", at) for at in range(300))], {})
    liked = fold([event(PurchaseMessage, "c", 0, f"user-{user}") for user in range(10)], {})
    assert pushed.items["a"].popular_week < 2.0 * MODEL.user_linear < liked.items["c"].popular_week
    assert pushed.items["a"].frequency < 2.0 * MODEL.user_linear
    assert pushed.items["a"].events < 2.0 * MODEL.user_linear
    assert max(pairs_of(pushed)["a", "b"]) < 2.0 * MODEL.user_linear
    assert (pushed.items["a"].users, pairs_of(pushed)["a", "b"][1]) == (1, 1.0)
    assert pushed.items["a"].purchases == 300


def test_abandoned_watches_of_one_user_push_an_item_down_no_further_than_saturation() -> None:
    folded = fold([event(WatchMessage, "a", at, watch_time_sec=1.0) for at in range(300)], {})
    assert -2.0 * MODEL.user_linear < folded.items["a"].popular_week < -MODEL.user_linear


def test_a_few_events_of_a_user_count_in_full() -> None:
    kinds = (ViewMessage, ClickMessage, PurchaseMessage, PurchaseMessage)
    folded = fold([event(kind, "a", 0) for kind in kinds], {})
    assert folded.items["a"].popular_week == pytest.approx(VIEW_WEIGHT + CLICK_WEIGHT + 2.0)
