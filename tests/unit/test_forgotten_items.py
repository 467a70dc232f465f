"""What old events add of an item that a user's full history does not hold any more."""

from collections.abc import Sequence
from typing import Any

import pytest

from app.core.event_types import EventCounts
from app.core.features import NO_HISTORY, History, Kind, fold
from app.core.history import MAX_ITEMS, MAX_SEEN_HASHES, seen_hash
from app.core.messages import CancelMessage, Message, PurchaseMessage, ViewMessage, WatchMessage
from app.core.model import MODEL
from app.core.signals import LANDMARK_MS
from tests.support.folded_pairs import pairs_of

NOW_MS = 1_000_000
BATCH = 100


def event(kind: type[Any], item_id: str, at_ms: int, number: int = 0, **fields: Any) -> Any:
    at_ms += LANDMARK_MS
    common = {"v": 1, "user_id": "ann", "session_id": "s", "received_ms": at_ms}
    return kind(event_id=f"{item_id}-{at_ms}-{number}", ts_ms=at_ms, item_id=item_id, **common, **fields)


def full(at_ms: int = NOW_MS) -> list[Message]:
    """Views of as many items as a history holds."""
    return [event(ViewMessage, f"other-{number}", at_ms + number) for number in range(MAX_ITEMS)]


def popularity(messages: Sequence[Message], item_id: str, size: int = BATCH) -> float:
    """What the item gets, in batches of this size, as values of the week that hardly decay."""
    history, total = NO_HISTORY, 0.0
    for start in range(0, len(messages), size):
        folded = fold(messages[start : start + size], {"ann": history})
        history = folded.histories.get("ann", history)
        total += folded.items[item_id].popular_week if item_id in folded.items else 0.0
    return total


@pytest.mark.parametrize("size", [1, 7, BATCH, 1_000])
@pytest.mark.parametrize("at_ms", [0, NOW_MS], ids=["older", "of the time of the oldest"])
def test_hundreds_of_old_purchases_count_once_behind_a_full_history(size: int, at_ms: int) -> None:
    pushed = [*full(), *(event(PurchaseMessage, "pushed", at_ms, number) for number in range(300))]
    assert popularity(pushed, "pushed", size) == pytest.approx(1.0, rel=1e-3)
    assert not pairs_of(fold(pushed[-1:], {"ann": fold(pushed[:-1], {}).histories["ann"]}))


def test_old_dislikes_take_no_more_than_one_can() -> None:
    disliked = [*full(), *(event(WatchMessage, "hit", number, watch_time_sec=1.0) for number in range(300))]
    one = popularity([*full(), disliked[-1]], "hit")
    assert one < 0.0
    assert popularity(disliked, "hit") == pytest.approx(one, rel=1e-2)


def test_cancellations_of_what_was_forgotten_take_nothing_back() -> None:
    bought = [event(PurchaseMessage, "hit", 0, number) for number in range(300)]
    cancelled = [
        CancelMessage(
            v=1,
            event_id=f"cancel-{number}",
            user_id="ann",
            session_id="s",
            ts_ms=one.ts_ms + NOW_MS,
            received_ms=one.ts_ms + NOW_MS,
            item_id="hit",
            cancels=one.event_id,
            cancelled_type="purchase",
            cancelled_ms=one.ts_ms,
            counts=EventCounts(int(Kind.PURCHASE), 1.0),
        )
        for number, one in enumerate(bought)
    ]
    more = event(ViewMessage, "one-more", 2 * NOW_MS)
    assert 0.0 < popularity([*bought, *full(), more, *cancelled], "hit") < 2.0 * MODEL.user_linear


def test_an_old_event_of_another_item_counts() -> None:
    late = event(PurchaseMessage, "late", 0)
    assert popularity([*full(), event(ViewMessage, "one-more", 2 * NOW_MS), late], "late") == pytest.approx(
        1.0, rel=1e-2
    )


def test_of_more_items_than_hashes_nobody_knows_which_were_forgotten() -> None:
    new, had, unknown = sorted(("item-1", "item-2", "item-3"), key=seen_hash)
    held = fold(full(), {}).histories["ann"]
    history = History(held.entries, (*range(MAX_SEEN_HASHES - 1), seen_hash(had)))
    for item_id, counted in ((new, 1.0), (had, 0.0), (unknown, 0.0)):
        folded = fold([event(PurchaseMessage, item_id, 0)], {"ann": history})
        assert (folded.items[item_id].popular_week, folded.items[item_id].purchases) == (counted, 1)
