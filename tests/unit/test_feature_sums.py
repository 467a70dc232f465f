"""The sums that a fold adds up beside pair weights: popularity by value and time, followers, and users."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.features import ItemDelta, fold
from app.core.history import MAX_ITEMS
from app.core.messages import ClickMessage, ViewMessage
from app.core.model import MODEL
from app.core.signals import (
    CLICK_WEIGHT,
    COVISITATION_HALF_LIFE_MS,
    HOUR_MS,
    LANDMARK_MS,
    POPULARITY_HALF_LIVES_MS,
    forward_weight,
)
from tests.support.folded_pairs import pairs_of


def event(kind: type[Any], item_id: str, at_ms: int, user_id: str = "ann") -> Any:
    at_ms += LANDMARK_MS
    common = {"v": 1, "event_id": "event-01", "session_id": "s", "ts_ms": at_ms, "received_ms": at_ms}
    return kind(item_id=item_id, user_id=user_id, **common)


TERMS = st.lists(st.tuples(st.integers(0, 400), st.floats(-0.2, 1.0)), min_size=1, max_size=30)


@given(TERMS, st.randoms(use_true_random=False))
def test_popularities_are_the_decayed_sums_of_their_terms_in_any_order(
    terms: list[tuple[int, float]], chance: Any
) -> None:
    shuffled = list(terms)
    chance.shuffle(shuffled)
    delta = ItemDelta()
    for hours, weight in shuffled:
        delta.add_popularity(MODEL, LANDMARK_MS + hours * HOUR_MS, weight, weight, weight)
    latest = max(hours for hours, _ in terms)
    assert delta.popular_ms == LANDMARK_MS + latest * HOUR_MS
    for value, half_life_ms in zip(
        (delta.popular_hours, delta.popular_day, delta.popular_week), POPULARITY_HALF_LIVES_MS, strict=True
    ):
        direct = sum(weight * 2 ** ((hours - latest) * HOUR_MS / half_life_ms) for hours, weight in terms)
        assert value == pytest.approx(direct, abs=1e-9)


def test_what_came_after_an_item_follows_it() -> None:
    folded = fold([event(ClickMessage, item_id, at) for item_id, at in (("b", 0), ("a", 1), ("c", 2), ("d", 2))], {})
    _, _, forth, back = pairs_of(folded)["a", "b"]
    assert (forth, back) == (0.0, pytest.approx(CLICK_WEIGHT))
    _, _, forth, back = pairs_of(folded)["b", "c"]
    assert (forth, back) == (pytest.approx(CLICK_WEIGHT / 2.0), 0.0)  # `a` stands between
    assert pairs_of(folded)["c", "d"][2:] == [0.0, 0.0]  # of one time neither follows the other


def test_users_are_counted_once_an_item_and_a_pair() -> None:
    events = [event(ViewMessage, item_id, at, user) for user in ("ann", "bob") for at, item_id in enumerate("abab")]
    folded = fold(events, {})
    assert (folded.items["a"].users, folded.items["b"].users) == (2, 2)
    assert pairs_of(folded)["a", "b"][1] == 2.0
    factor = forward_weight(LANDMARK_MS, COVISITATION_HALF_LIFE_MS)
    assert folded.items["a"].events == pytest.approx(4.0 * factor)
    assert folded.items["a"].first_ms == LANDMARK_MS


def test_an_item_that_left_the_history_is_not_new_to_its_user() -> None:
    stored = fold([event(ViewMessage, f"item-{at:02}", at) for at in range(MAX_ITEMS + 1)], {}).histories
    again = fold([event(ViewMessage, "item-00", 1_000)], stored)
    assert again.items["item-00"].users == 0
    assert all(sums[1] == 0.0 for sums in pairs_of(again).values())
