"""A log that is played sees what is counted, whatever its times are."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from msgspec import structs

from app.core import synthetic
from app.core.evaluation import Trial, play
from app.core.messages import Message
from app.core.played_log import PlayedLog
from app.core.rankers import LEARNED, standard
from app.core.signals import DAY_MS, LANDMARK_MS
from app.core.synthetic import log
from tests.support.purchases import purchase


def bought(number: int, user_id: str, item_id: str) -> Message:
    return purchase(number, user_id, item_id, apart_ms=0)


def together(played: PlayedLog, first: int, other: str) -> None:
    """A hundred users buy an item together with the tent."""
    for number in range(first, first + 200, 2):
        user_id = f"user-{number}"
        played.learn([bought(number, user_id, "tent")])
        played.learn([bought(number + 1, user_id, other)])


def beside_the_tent(played: PlayedLog) -> set[str]:
    near = played.neighbours("tent", LANDMARK_MS).neighbour_entries()["number"]
    return {played.index.ids[number] for number in near.tolist()}


def popular(played: PlayedLog) -> set[str]:
    numbers = np.frombuffer(played.popular(LANDMARK_MS).numbers, np.int32).tolist()
    return {played.index.ids[number] for number in numbers}


def test_lists_are_made_anew_although_all_events_have_one_time() -> None:
    played = PlayedLog()
    together(played, 0, "mat")
    assert (beside_the_tent(played), popular(played)) == ({"mat"}, {"tent", "mat"})
    together(played, 200, "lamp")
    assert (beside_the_tent(played), popular(played)) == ({"mat", "lamp"}, {"tent", "mat", "lamp"})


def learned_hit_rate(messages: Sequence[Message]) -> float:
    trial = Trial(standard(), vsknn=False)
    for _ in play(messages, trial, last=0.2):
        pass
    return trial.scores()[LEARNED].all.hit_rate


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["shop", "drift", "repeats"])
def test_a_log_with_one_time_a_day_is_followed_within_the_day(kind: str) -> None:
    """Ten days of six hundred events, of which none tells more than the day."""
    world = structs.replace(synthetic.WORLDS[kind], events=6_000, hours=240.0)
    timed = list(log(world, random.Random(1).random))
    dated = [
        structs.replace(message, ts_ms=message.ts_ms // DAY_MS * DAY_MS, received_ms=message.received_ms)
        for message in timed
    ]
    assert learned_hit_rate(dated) > 0.85 * learned_hit_rate(timed)
