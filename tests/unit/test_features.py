"""What a batch adds is a sum: the same in any order and in any split, but for pairs that look at the history."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.features import Fold, fold
from app.core.history import History
from app.core.messages import (
    ClickMessage,
    ImpressionMessage,
    Message,
    PurchaseMessage,
    ShownItemMessage,
    ViewMessage,
    WatchMessage,
)
from app.core.signals import LANDMARK_MS

HOUR = 3_600_000
COMMON = {"v": 1, "session_id": "s", "received_ms": LANDMARK_MS}


def event(kind: str, number: int, user_id: str, item_id: str, hours: int) -> Message:
    common = {**COMMON, "event_id": f"event-{number}", "user_id": user_id, "ts_ms": LANDMARK_MS + hours * HOUR}
    if kind == "impression":
        return ImpressionMessage(items=[ShownItemMessage(item_id=item_id, position=0)], **common)  # type: ignore[arg-type]
    if kind == "watch":
        return WatchMessage(item_id=item_id, watch_time_sec=60.0, percent_watched=80.0, **common)  # type: ignore[arg-type]
    shape = {"view": ViewMessage, "click": ClickMessage, "purchase": PurchaseMessage}[kind]
    return shape(item_id=item_id, **common)  # type: ignore[arg-type]


logs = st.lists(
    st.tuples(
        st.sampled_from(["view", "click", "purchase", "watch", "impression"]),
        st.sampled_from(["ann", "bob"]),
        st.sampled_from("abcdefgh"),
        st.integers(0, 500),
    ),
    max_size=30,
).map(lambda rows: [event(kind, number, user, item, hours) for number, (kind, user, item, hours) in enumerate(rows)])


def played(messages: list[Message], step: int) -> tuple[dict[str, History], Fold]:
    """The histories in the end, and the sums of all batches."""
    histories: dict[str, History] = {}
    total = Fold()
    for start in range(0, len(messages), step):
        part = fold(messages[start : start + step], histories)
        histories.update(part.histories)
        for item_id, delta in part.items.items():
            held = total.items.setdefault(item_id, type(delta)())
            for name in delta.__struct_fields__:
                setattr(held, name, getattr(held, name) + getattr(delta, name))
        for pair, weight in part.pairs.items():
            total.pairs[pair] = total.pairs.get(pair, 0.0) + weight
    return histories, total


@settings(max_examples=100, deadline=None)
@given(logs, st.integers(1, 10))
def test_batches_of_any_size_add_up_to_the_same(messages: list[Message], step: int) -> None:
    histories, total = played(messages, step)
    expected_histories, expected = played(messages, max(1, len(messages)))
    assert histories == expected_histories
    assert total.pairs.keys() == expected.pairs.keys()
    assert all(math.isclose(total.pairs[pair], expected.pairs[pair]) for pair in expected.pairs)
    assert_same_items(total, expected)


@settings(max_examples=100, deadline=None)
@given(logs, st.randoms(use_true_random=False))
def test_histories_and_popularity_do_not_depend_on_the_order_of_arrival(
    messages: list[Message], chance: object
) -> None:
    shuffled = list(messages)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    histories, total = played(shuffled, 7)
    expected_histories, expected = played(messages, 7)
    assert histories == expected_histories
    assert_same_items(total, expected, but=("returns",))


def assert_same_items(one: Fold, other: Fold, but: tuple[str, ...] = ()) -> None:
    assert one.items.keys() == other.items.keys()
    for item_id, delta in one.items.items():
        for name in delta.__struct_fields__:
            if name not in but:
                assert math.isclose(getattr(delta, name), getattr(other.items[item_id], name), abs_tol=1e-9), name


def test_each_pair_of_neighbours_is_counted_once_whatever_comes_first() -> None:
    first, second = event("purchase", 1, "ann", "a", 0), event("purchase", 2, "ann", "b", 1)
    in_order, late = fold([first, second], {}), fold([second, first], {})
    assert set(in_order.pairs) == {("a", "b")}
    assert in_order.pairs == late.pairs
    assert in_order.pairs["a", "b"] > 0


def test_impressions_count_for_the_item_and_leave_the_history_alone() -> None:
    shown = fold([event("impression", 1, "ann", "a", 0)], {})
    assert shown.items["a"].impressions == 1
    assert (shown.histories, shown.pairs, shown.items["a"].popularity) == ({}, {}, 0.0)


def test_a_purchase_says_more_than_a_click_and_a_click_more_than_a_view() -> None:
    weights = [
        fold([event(kind, 1, "ann", "a", 0)], {}).items["a"].popularity for kind in ("purchase", "click", "view")
    ]
    assert weights == sorted(weights, reverse=True)
    assert len(set(weights)) == 3
