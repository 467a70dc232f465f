"""What no pin may serve, such as an item whose offer the user ended so long ago that only a hash of it is kept."""

from app.core import counted_lists
from app.core.history import History, seen_hash
from app.core.recommendation import RecommendationRequest
from tests.support.serving_store import NOW_MS, Store, answer, bought, ids, pin

ENDED = History(bought("stove", "tent").entries, (), (seen_hash("tent"),))
"""The user hid the tent long ago, and then bought it."""


def test_a_pin_does_not_offer_it_again() -> None:
    store = Store(popular=["hit", "tent"], rules=[pin("tent", 1), pin("lamp", 2)], fallback=["plain"])
    assert ids(store.for_user(ENDED)) == ["hit", "lamp", "plain"]
    assert "tent" not in ids(store.for_user(ENDED, repeats="only"))


def test_it_is_not_among_what_the_user_did_last() -> None:
    request = RecommendationRequest(k=5, now_ms=NOW_MS)
    assert ids(answer(counted_lists.recent(ENDED, request), Store().fetch)) == ["stove"]


def test_rules_pin_nothing_where_no_pins_are_asked_for() -> None:
    store = Store(popular=["hit", "rare"], rules=[pin("rare", 1)])
    assert ids(store.for_user(among=["hit", "rare"], repeats="allow")) == ["rare", "hit"]
    assert ids(store.for_user(among=["hit", "rare"], repeats="allow", pins=False)) == ["hit", "rare"]
