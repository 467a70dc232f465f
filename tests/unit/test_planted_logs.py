"""The learner on synthetic logs: each event is ranked as it would be served, then learned, then counted. By seed."""

import random
import time
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pytest
from msgspec import structs

from app.core.learning import RATE
from app.core.messages import ClickMessage, Message
from app.core.model import MODEL
from app.core.neighbours import Neighbours
from app.core.played_log import PlayedLog
from app.core.popularity import Popular
from app.core.profile import Profile
from app.core.ranking_learner import RankingLearner, Serving
from app.core.ranking_samples import RankingSample, places, sample_of
from app.core.sampling import OF_ONE_USER
from app.core.signals import DAY_MS, LANDMARK_MS
from app.core.synthetic import WORLDS, log
from app.core.weights import FIXED, size_of
from workers.sampler import BatchSampler, Sampler

EVENTS, LAST = 5_000, 1_000
FOUND = {"shop": 0.40, "news": 0.50, "repeats": 0.60, "drift": 0.54, "sessions": 0.48}
"""Hit rate@20 that what is learned has in the last thousand of 5,000 events, by what is planted."""


class Teaching:
    """A played log, and a learner that is taught before an event is counted."""

    def __init__(self) -> None:
        self.log = PlayedLog()
        self.learner = RankingLearner(Serving(1, FIXED, FIXED))

    def at_hand(
        self, seeds: Sequence[str], _own: Collection[str] = ()
    ) -> tuple[Mapping[str, Neighbours], Popular, None]:
        now_ms = self.log.table.log_ms
        return {item_id: self.log.neighbours(item_id, now_ms) for item_id in seeds}, self.log.popular(now_ms), None

    def sample(self, message: Message) -> RankingSample:
        history = self.log.history(message.user_id)
        seeds = [seed.item_id for seed in Profile(history, MODEL).seeds]
        return sample_of(history, message.item_id, *self.at_hand(seeds), self.log.table)


@pytest.mark.slow
@pytest.mark.parametrize("kind", WORLDS)
def test_what_is_planted_in_a_log_is_found_within_5000_events(kind: str) -> None:
    teaching = Teaching()
    learned = fixed = 0
    world = structs.replace(WORLDS[kind], events=EVENTS)
    for number, message in enumerate(log(world, random.Random(1).random)):
        sample = teaching.sample(message)
        if number >= EVENTS - LAST:
            by_learned, by_fixed = places(sample, [teaching.learner.weights, FIXED])
            learned += 1 <= by_learned <= 20
            fixed += 1 <= by_fixed <= 20
        teaching.learner.teach(sample)
        teaching.log.learn([message])
    assert learned / LAST >= FOUND[kind]
    assert learned > fixed


@pytest.mark.slow
def test_10000_events_of_one_user_move_no_weight_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within an hour, through the consumer's sampler. The user always takes the worst candidate there is."""
    teaching, begin_ms = Teaching(), LANDMARK_MS + 100 * DAY_MS
    for message in log(structs.replace(WORLDS["shop"], events=500), random.Random(2).random):
        teaching.log.learn([message])
    before = teaching.learner.weights.copy()
    monkeypatch.setattr(time, "time_ns", lambda: begin_ms * 1_000_000)
    sampler = BatchSampler(Sampler(teaching.at_hand, teaching.log.table), stride=1)
    taught = 0
    for first in range(0, 10_000, 50):
        candidates, items = teaching.log.candidates("mallory", now_ms=begin_ms + first)
        worst = int(np.argmin(candidates.features() @ teaching.learner.weights[size_of(items)]))
        item_id = teaching.log.index.ids[int(candidates.numbers[worst])]
        chunk = [click(item_id, begin_ms + number, number) for number in range(first, first + 50)]
        for sample in sampler.take(sampler.picks(chunk), {"mallory": teaching.log.history("mallory")}):
            taught += teaching.learner.teach(sample)
        teaching.log.learn(chunk)
    assert taught == OF_ONE_USER
    assert np.abs(teaching.learner.weights - before).max() <= RATE * OF_ONE_USER


def click(item_id: str, at_ms: int, number: int) -> ClickMessage:
    return ClickMessage(
        v=1,
        event_id=f"mallory-{number}",
        user_id="mallory",
        session_id="mallory",
        ts_ms=at_ms,
        received_ms=at_ms,
        item_id=item_id,
    )
