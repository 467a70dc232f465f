"""The entries of a history are a function of the set of events, whatever the order and the batches they come in."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.core.history import (
    MAX_ITEMS,
    NO_HISTORY,
    Entry,
    History,
    cancellation_number,
    decode_history,
    encode_history,
    seen_hash,
)
from tests.support.histories import merge_history

# Few items and times, so that ties and repetitions are common; and enough of them to pass the bound of 50 items.
entries = st.builds(
    Entry,
    item_id=st.integers(0, 90).map(lambda number: f"i{number}"),
    at_ms=st.integers(0, 60),
    kind=st.integers(0, 3),
    weight=st.sampled_from([-0.2, 0.3, 0.5, 1.0]),
)


@settings(max_examples=150)
@given(st.lists(entries, max_size=160), st.randoms(use_true_random=False), st.integers(1, 40))
def test_neither_order_nor_batches_nor_repetition_matter(events: list[Entry], chance: object, step: int) -> None:
    expected = merge_history(NO_HISTORY, events)
    shuffled = [*events, *events[: len(events) // 3]]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    history = NO_HISTORY
    for start in range(0, len(shuffled), step):
        history = merge_history(history, shuffled[start : start + step])
    assert history.seen_hashes == expected.seen_hashes
    assert [replace(entry, other_weight=0) for entry in history.entries] == [
        replace(entry, other_weight=0) for entry in expected.entries
    ]


@given(st.lists(entries, max_size=160))
def test_a_history_holds_the_most_recent_items_newest_first(events: list[Entry]) -> None:
    newest: dict[str, int] = {}
    for event in events:
        newest[event.item_id] = max(newest.get(event.item_id, -1), event.at_ms)
    wanted = sorted(newest, key=lambda item_id: (-newest[item_id], item_id))[:MAX_ITEMS]
    history = merge_history(NO_HISTORY, events)
    assert list(dict.fromkeys(entry.item_id for entry in history.entries)) == wanted
    assert [entry.at_ms for entry in history.entries] == sorted(
        (entry.at_ms for entry in history.entries), reverse=True
    )
    assert len({(entry.item_id, entry.kind) for entry in history.entries}) == len(history.entries)


@given(st.lists(entries, max_size=80))
def test_a_stored_history_is_read_unchanged(events: list[Entry]) -> None:
    history = merge_history(NO_HISTORY, events)
    assert decode_history(encode_history(history)) == history


def test_a_history_of_an_older_release_is_read_without_sums() -> None:
    older = msgspec.msgpack.encode([[["a", 1, 3, 1.0]], []])
    assert decode_history(older) == History((Entry("a", 1, 3, 1.0, 0),))


def test_a_history_of_this_release_is_read_by_the_one_before() -> None:
    class Before(msgspec.Struct, array_like=True):
        entries: tuple[Entry, ...] = ()
        seen_hashes: tuple[int, ...] = ()
        ended_hashes: tuple[int, ...] = ()

    number = cancellation_number(2**53 - 1, b"\xff" * 8)
    stored = encode_history(History((Entry("a", 1, 3, 1.0),), (5,), (6,), (number,)))
    assert msgspec.msgpack.decode(stored, type=Before) == Before((Entry("a", 1, 3, 1.0),), (5,), (6,))
    assert decode_history(stored).taken_back == (2**64 - 1,)


def test_items_that_had_to_go_are_remembered_by_their_hashes() -> None:
    events = [Entry(f"i{number}", number, 0, 1.0) for number in range(MAX_ITEMS + 5)]
    history = merge_history(NO_HISTORY, events)
    assert len(history.entries) == MAX_ITEMS
    assert {seen_hash(f"i{number}") for number in range(MAX_ITEMS + 5)} == set(history.seen_hashes)
    assert merge_history(NO_HISTORY, events[:MAX_ITEMS]).seen_hashes == ()


def test_of_an_item_each_kind_has_its_latest_entry() -> None:
    events = [Entry("a", 1, 3, 1.0), Entry("a", 2, 0, 0.3), Entry("a", 3, 0, 0.3), Entry("b", 2, 0, 0.3)]
    latest = replace(events[2], other_weight=pytest.approx(0.3))
    assert merge_history(NO_HISTORY, events) == History((latest, events[3], events[0]))
