"""What events of other types count, and what their cancellations take back."""

import itertools
import json
from typing import Any

import pytest

from app.core import submitted
from app.core.decoding import InvalidInput
from app.core.event_types import EventType, EventTypes, RatingScale
from app.core.events import Cancellation, Record, accept
from app.core.features import Fold, fold
from app.core.history import MAX_ITEMS, NO_HISTORY, History, seen_hash, standing
from app.core.messages import Message, decode_message
from app.core.model import MODEL
from app.core.own_writes import OwnWrite, entry_of, key_of, laid_over
from app.core.profile import Profile
from app.core.signals import HOUR_MS, LANDMARK_MS
from tests.support.folded_pairs import pairs_of

WISH = EventType(name="wish", number=16, weight=0.6, meaning="interest", pairs=False, ends_offer=False)
TYPES = EventTypes([WISH], {16: "wish"})


def record(event_type: str, item_id: str, hours: int = 0, types: EventTypes = TYPES, **more: Any) -> Record:
    body = {
        "event_id": f"event-{event_type}-{item_id}-{hours}",
        "event_type": event_type,
        "user_id": "ann",
        "session_id": "s",
        "item_id": item_id,
        "ts_ms": LANDMARK_MS + hours * HOUR_MS,
        **more,
    }
    event = submitted.decode_any(json.dumps(body).encode(), types)
    assert not isinstance(event, Cancellation)
    counts = submitted.counts_of(event, types)
    return accept(event, counts=counts, now_ms=LANDMARK_MS, entropy=b"", any_time=True)


def message(event_type: str, item_id: str, hours: int = 0, **more: Any) -> Message:
    return decode_message(record(event_type, item_id, hours, **more).payload.encode())


def cancellation(of: Record) -> Record:
    event = Cancellation(user_id="ann", session_id="s", cancels=of.event_id, ts_ms=LANDMARK_MS)
    return submitted.accept_cancellation(event, decode_message(of.payload.encode()), now_ms=LANDMARK_MS)


def folded(*records: Record) -> Fold:
    return fold([decode_message(one.payload.encode()) for one in records], {})


def history_of(made: Fold) -> History:
    return standing(made.histories.get("ann", NO_HISTORY))


def test_an_event_counts_as_its_type_did_when_it_was_accepted() -> None:
    made = record("wish", "tent")
    changed = EventTypes(
        [EventType(name="wish", number=16, weight=2.0, meaning="rejection", pairs=False, ends_offer=True)]
    )
    assert folded(made).items["tent"].popular_week == 0.6
    assert folded(record("wish", "tent", types=changed)).items["tent"].popular_week == -2.0
    # The retry of a client is the same event, whatever became of the type.
    assert record("wish", "tent", types=changed).content_hash == made.content_hash


def test_a_type_without_pairs_makes_none_and_is_in_none_of_later_events() -> None:
    assert pairs_of(folded(record("view", "stove"), record("wish", "tent", 1), record("view", "mat", 2))) == pairs_of(
        folded(record("view", "stove"), record("view", "mat", 2))
    )
    assert ("mat", "tent") in pairs_of(folded(record("cart", "tent", 1), record("view", "mat", 2)))


@pytest.mark.parametrize(("rating", "weight"), [(5, 1.0), (4, 0.5), (3, 0.0), (1, -1.0)])
def test_a_rating_counts_by_its_place_on_the_scale(rating: float, weight: float) -> None:
    assert folded(record("rating", "tent", rating=rating)).items["tent"].popular_week == weight


@pytest.mark.parametrize("rating", [{}, {"rating": 5.5}, {"rating": 0}])
def test_a_rating_that_is_missing_or_off_the_scale_is_refused(rating: dict[str, float]) -> None:
    with pytest.raises(InvalidInput) as refused:
        record("rating", "tent", **rating)
    (error,) = refused.value.field_errors
    assert (error.path, error.message) == ("$.rating", "an event of the type rating needs one from 1 to 5")


def test_a_scale_may_have_its_best_below_its_worst() -> None:
    place = EventType(
        name="place",
        number=17,
        weight=0.5,
        meaning="consumption",
        pairs=True,
        ends_offer=False,
        rating_scale=RatingScale(worst=3.0, best=1.0),
    )
    assert [place.counts(rating).weight for rating in (1.0, 2.0, 3.0)] == [0.5, 0.0, -0.5]


def test_a_disliked_item_speaks_against_what_is_like_it() -> None:
    profile = Profile(history_of(folded(record("like", "tent"), record("dislike", "mat", 1))), MODEL)
    assert dict(zip((seed.item_id for seed in profile.seeds), profile.weights, strict=True))["mat"] < 0.0


def test_a_hidden_item_stays_hidden_when_its_entry_has_been_dropped() -> None:
    later = [record("view", f"item-{number}", 1 + number) for number in range(MAX_ITEMS + 5)]
    hidden = record("hide", "tent")
    whole = history_of(folded(hidden, *later))
    assert len(whole.ended_hashes) == 1
    assert "tent" not in {entry.item_id for entry in whole.entries}
    # Also one that arrives when it is older than all that is kept.
    assert history_of(folded(*later, hidden)).ended_hashes == whole.ended_hashes
    assert history_of(folded(hidden, *later, cancellation(hidden))).ended_hashes == ()


def test_taking_back_a_view_of_an_item_that_was_hidden_long_ago_leaves_it_hidden() -> None:
    later = [record("view", f"item-{number}", 1 + number) for number in range(MAX_ITEMS + 5)]
    hidden, viewed = record("hide", "tent"), record("view", "tent", 100)
    whole = history_of(folded(hidden, *later, viewed, cancellation(viewed)))
    assert whole.ended_hashes == (seen_hash("tent"),)


@pytest.mark.parametrize("event_type", ["view", "click", "purchase", "watch", "cart", "dislike", "hide", "wish"])
def test_what_is_taken_back_leaves_the_sums_as_if_it_had_not_been(event_type: str) -> None:
    more = {"watch_time_sec": 200.0} if event_type == "watch" else {}
    before = [record("view", "stove"), record("click", "mat", 1)]
    taken, later = record(event_type, "tent", 2, **more), record("purchase", "lamp", 3)
    expected = folded(*before, later)
    for order in ([taken, cancellation(taken)], [cancellation(taken), taken]):
        made = folded(*before, *order, later)
        assert history_of(made) == history_of(expected)
        found = pairs_of(made)
        for pair in [pair for pair in found if "tent" in pair]:
            assert found.pop(pair) == pytest.approx([0.0] * 4, abs=1e-12)
        assert found == pairs_of(expected)
        tent = made.items.pop("tent")
        assert made.items == expected.items
        for name in (
            "popular_week",
            "frequency",
            "events",
            "users",
            "views",
            "clicks",
            "purchases",
            "watches",
            "watch_ms",
            "other_events",
        ):
            assert getattr(tent, name) == pytest.approx(0.0, abs=1e-12), name


def test_one_of_two_purchases_taken_back_leaves_the_other_in_any_order() -> None:
    first, second = record("purchase", "tent"), record("purchase", "tent", 24)
    for order in itertools.permutations([first, second, cancellation(second)]):
        (entry,) = history_of(folded(*order)).entries
        assert entry.item_id == "tent"
        assert entry.weight + entry.other_weight == pytest.approx(0.5 ** (1 / 8))


def test_own_writes_take_back_what_is_counted_and_what_is_not() -> None:
    bought = record("purchase", "tent")
    back = cancellation(bought)
    writes = [OwnWrite(key_of(one.event_id), 0, entry_of(one.payload)) for one in (bought, back)]
    assert standing(laid_over(NO_HISTORY, writes, MODEL)).entries == ()
    assert standing(laid_over(folded(bought).histories["ann"], writes, MODEL)).entries == ()
    counted = folded(bought, back).histories["ann"]
    assert laid_over(counted, writes, MODEL) == counted


def test_a_cancellation_sent_by_two_is_one_event() -> None:
    bought = record("purchase", "tent")
    one = cancellation(bought)
    event = Cancellation(user_id="ann", session_id="other", cancels=bought.event_id, event_id="mine-0001")
    other = submitted.accept_cancellation(event, decode_message(bought.payload.encode()), now_ms=LANDMARK_MS + 5)
    assert (other.event_id, other.content_hash) == (one.event_id, one.content_hash)
