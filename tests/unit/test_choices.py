"""Which events test and teach a ranking, and that it is tested by the lists that are served."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from app.core.evaluation import Trial
from app.core.event_types import READY, EventCounts
from app.core.history import MAX_ITEMS
from app.core.item_features import ITEM_FEATURES
from app.core.learning import LARGEST
from app.core.messages import ActionMessage, CancelMessage, ClickMessage, Message, PurchaseMessage, WatchMessage
from app.core.model import MODEL
from app.core.played_log import PlayedLog
from app.core.profile import Profile
from app.core.ranked import NO_EXCLUSIONS
from app.core.rankers import LEARNED, standard
from app.core.ranking import Ranking
from app.core.ranking_samples import RankingSample, is_choice, places, sample_of
from app.core.signals import DAY_MS, HOUR_MS, LANDMARK_MS, Kind
from app.core.synthetic import WORLDS, log
from app.core.weights import FEATURES, FIXED, POPULARITY, START, size_of
from tests.support.served_log import as_served

AGAINST = ["dislike", "hide", "watch"]


def message(kind: str, user_id: str, item_id: str, at_ms: int = LANDMARK_MS) -> Message:
    common: dict[str, Any] = {
        "v": 1,
        "event_id": f"{kind}-{user_id}-{item_id}",
        "user_id": user_id,
        "session_id": "s",
        "item_id": item_id,
        "ts_ms": at_ms,
        "received_ms": at_ms,
    }
    if kind == "watch":
        return WatchMessage(watch_time_sec=1.0, percent_watched=1.0, **common)
    if kind == "purchase":
        return PurchaseMessage(**common)
    if kind == "click":
        return ClickMessage(**common)
    return ActionMessage(event_type=kind, counts=READY[kind].counts(None), **common)


def visits(count: int = 40) -> Iterator[Message]:
    for number in range(count):
        for place, item in enumerate(("tent", "stove", "mat", f"book-{number % 7}")):
            yield message("click", f"user-{number}", item, LANDMARK_MS + number * HOUR_MS + place)


@pytest.mark.parametrize("kind", AGAINST)
def test_what_a_user_rejects_tests_and_teaches_nothing(kind: str) -> None:
    rankers = standard()
    trial = Trial(rankers)
    for one in visits():
        trial.step(one, tested=False, taught=False)
    trial.step(message("click", "ann", "tent"), tested=False, taught=False)
    rejected = message(kind, "ann", "stove")
    assert not is_choice(rejected)
    trial.step(rejected, tested=True, taught=True)
    assert {score.all.tests for score in trial.scores().values()} == {0}
    assert (rankers[LEARNED].weights == START).all()


@pytest.mark.parametrize("entries", [0, MAX_ITEMS])
def test_what_a_user_hides_is_in_no_list(entries: int) -> None:
    """Also when the history has dropped it, after so many more items."""
    played = PlayedLog()
    played.learn(list(visits()))
    played.learn([message("click", "ann", "tent"), message("hide", "ann", "stove")])
    now_ms = LANDMARK_MS + 50 * HOUR_MS
    for number in range(entries):
        played.learn([message("click", "ann", f"old-{number}", now_ms + number)])
    likes_own = START.copy()
    likes_own[:, FEATURES.index("own")] = 5.0
    candidates, items = played.candidates("ann", now_ms=now_ms)
    for weights in (FIXED, START, POPULARITY, likes_own):
        found = played.recommend("ann", candidates, weights[size_of(items)], 20)
        assert found == as_served(played, "ann", weights, now_ms, 20)
        assert "stove" not in found
    assert sample(played, message("click", "ann", "stove", now_ms)).chosen is None
    offered = sample(played, message("click", "ann", "mat", now_ms))
    assert len(offered.features) == len(candidates.numbers) - 1
    assert offered.chosen is not None


def sample(played: PlayedLog, one: Any) -> RankingSample:
    history, popular = played.history(one.user_id), played.popular(one.ts_ms)
    near = {seed.item_id: played.neighbours(seed.item_id, one.ts_ms) for seed in Profile(history, MODEL).seeds}
    return sample_of(history, one.item_id, near, popular, None, played.table)


@pytest.mark.parametrize("kind", ["shop", "repeats", "sessions"])
def test_a_test_is_the_place_in_the_list_that_is_served(kind: str) -> None:
    """Also of the user's own items, which some weights place well and others leave out; where weights tell no items
    apart; and where they are so steep that few items have a score beside the best one.
    """
    played, seen = PlayedLog(), {"hit": 0, "miss": 0, "own": 0, "tied": 0, "steep": 0}
    contenders = (FIXED, START, POPULARITY, -START, np.zeros_like(START), START * (LARGEST / np.abs(START).max()))
    for number, one in enumerate(list(log(WORLDS[kind], random.Random(5).random))[:2_000]):
        if number % 7 == 0 and is_choice(one):
            candidates, items = played.candidates(one.user_id, now_ms=one.ts_ms)
            tested = sample(played, one)
            for weights, place in zip(contenders, places(tested, contenders), strict=True):
                of_size = weights[size_of(items)].astype(np.float32)
                scores = played.table.scores_of(candidates.numbers, of_size)
                ranked = Ranking(played.index, candidates, of_size, scores).ranked({}, (), "learned", NO_EXCLUSIONS)
                best = ranked.best(len(scores))
                score = ranked.score(one.item_id)
                alike = [number for number, item_id in enumerate(best, 1) if ranked.score(item_id) == score]
                if place == 0 or one.item_id not in best:
                    assert place == 0
                    assert one.item_id not in best
                elif min(place, alike[0]) <= 20:
                    assert place == alike[len(alike) // 2]
                seen["hit" if one.item_id in best[:20] else "miss"] += 1
                seen["own"] += not tested.is_new
                seen["tied"] += len(alike) > 1 and one.item_id in best
                seen["steep"] += tested.chosen is not None and weights is contenders[-1] and one.item_id not in best
        played.learn([one])
    assert seen["hit"] > 100
    assert seen["miss"] > 100
    assert seen["own"] > 20
    assert seen["tied"] > 100
    assert seen["steep"] > 10


def test_features_of_an_item_whose_only_purchase_was_returned_are_finite() -> None:
    """The user looked at it again a day later: what is taken back was no repeat, and yet is taken off the repeats."""
    bought = message("purchase", "ann", "tent")
    about: dict[str, Any] = {"cancels": bought.event_id, "cancelled_type": "purchase", "cancelled_ms": bought.ts_ms}
    returned = CancelMessage(
        **{name: getattr(bought, name) for name in ("v", "user_id", "session_id")},
        event_id="cancel-1",
        item_id="tent",
        ts_ms=LANDMARK_MS + 2 * DAY_MS,
        received_ms=LANDMARK_MS + 2 * DAY_MS,
        counts=EventCounts(Kind.PURCHASE, 1.0),
        **about,
    )
    played = PlayedLog()
    played.learn([bought, message("click", "ann", "tent", LANDMARK_MS + DAY_MS), returned])
    played.popular(LANDMARK_MS + 3 * DAY_MS)
    number = played.index.find("tent")
    assert number is not None
    assert played.table.own_repeats[number] == 0.0
    assert np.isfinite(played.table.features[number]).all()
    assert len(played.table.features[number]) == len(ITEM_FEATURES)
