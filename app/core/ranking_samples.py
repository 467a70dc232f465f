"""A sample: the candidates that would have been ranked for a user just before an event, and the item that was taken."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Final, TypeAlias, TypeGuard

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.core.candidates import LEAST_OWN, Candidates
from app.core.content_index import ContentIndex
from app.core.history import History, seen_hash
from app.core.item_table import ItemTable
from app.core.messages import CancelMessage, ImpressionMessage, InteractionMessage, Message, WatchMessage
from app.core.model import MODEL, Model
from app.core.neighbours import Neighbours
from app.core.popularity import Popular
from app.core.profile import profile_of
from app.core.ranking import LEAST_LOGARITHM
from app.core.signals import signal
from app.core.weights import FROM_OWN, Weights, size_of

# A sample takes milliseconds. What is longer is a pause of the process or of the machine.
_LONGEST_SEC: Final = 1.0
# Of what samples have cost, from one to the next: the mean of the last hundred.
_KEPT: Final = 0.99


class RankingSample(Struct, frozen=True):
    """`features`: of the candidates that the user may be offered, a row each. `chosen`: the row of the item that the
    user took; None: it is none of them. `size`: of the history, a row of the weights. `is_new`: the user took the item
    for the first time. `stands_for`: how many events of the user the sample stands for (`app.core.sampling`).
    """

    features: NDArray[np.float32]
    chosen: int | None
    size: int
    is_new: bool
    stands_for: float = 1.0


Choice: TypeAlias = WatchMessage | InteractionMessage


def is_choice(message: Message) -> TypeGuard[Choice]:
    """Whether the event says that the user wanted its item: such events test a ranking, and teach it."""
    return not isinstance(message, ImpressionMessage | CancelMessage) and signal(message)[1] > 0.0


def sample_of(
    history: History,
    item_id: str,
    neighbours: Mapping[str, Neighbours],
    popular: Popular,
    content: ContentIndex | None,
    table: ItemTable,
    model: Model = MODEL,
    stands_for: float = 1.0,
) -> RankingSample:
    """`history`: as it was before the event. `neighbours`: of the profile's seeds."""
    profile = profile_of(history, model, counted=table.model)
    candidates = Candidates(
        profile,
        neighbours,
        popular.numbers,
        table,
        now_ms=popular.log_ms,
        content=content,
    )
    features, chosen = candidates.choice(item_id) or (np.empty((0, 0), np.float32), None)
    return RankingSample(
        features,
        chosen,
        size_of(len(profile.latest)),
        item_id not in profile.latest and seen_hash(item_id) not in history.seen_hashes,
        stands_for,
    )


def places(sample: RankingSample, contenders: Sequence[Weights]) -> list[int]:
    """The place, from 1, that what the user took has in the list that each of these weights makes. 0 where it has none:
    it is not a candidate, an item of the user's own that these weights do not give again, or one whose score is 0
    beside the best one's.

    Of items with one score, half are in front: a list orders them by their ids, which says nothing of the weights.
    """
    if sample.chosen is None:
        return [0] * len(contenders)
    weights = np.array([one[sample.size] for one in contenders], np.float32).T
    scores = sample.features @ weights
    own = sample.features[:, FROM_OWN.start].nonzero()[0]
    left_out = sample.features[own, FROM_OWN] @ weights[FROM_OWN] < LEAST_OWN
    scores[own] = np.where(left_out, -np.inf, scores[own])
    of_chosen = scores[sample.chosen]
    better, alike = np.count_nonzero(scores > of_chosen, axis=0), np.count_nonzero(scores == of_chosen, axis=0)
    is_listed = np.exp(of_chosen - np.maximum(scores.max(axis=0), LEAST_LOGARITHM)) > 0.0
    found: list[int] = np.where(is_listed, 1 + better + alike // 2, 0).tolist()
    return found


class SamplingBudget:
    """How many events a sample stands for, so that samples take at most a `share` of the time, whatever the load.

    Of a batch of thousands every hundredth is taken, and not its first ones: a batch is ordered by partition, that is,
    by user. What is not used is kept for half a second.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._left_sec = share / 2
        self._at = 0.0
        # Of the latest samples; they begin as one of a long history.
        self._seconds = 0.001
        self._samples = 1.0

    def stride(self, events: int, now_sec: float) -> int:
        """Every how many-th of a batch of so many events may be taken; 0: none. `now_sec`: of a monotonic clock."""
        most_sec = self._share / 2
        self._left_sec = min(most_sec, self._left_sec + max(0.0, now_sec - self._at) * self._share)
        self._at = now_sec
        affordable = self._left_sec * self._samples / self._seconds
        if self._left_sec >= most_sec:
            # Nothing more can be saved up. One sample is taken, however dear they were: after a pause of the machine it
            # shows what they cost by now.
            affordable = max(1.0, affordable)
        return max(1, ceil(events / affordable)) if events and affordable >= 1.0 else 0

    def took(self, seconds: float, samples: int = 0) -> None:
        """Counts time that was spent on samples, and how many have begun with it."""
        seconds = min(seconds, _LONGEST_SEC)
        self._left_sec -= seconds
        kept = _KEPT**samples
        self._seconds = kept * self._seconds + seconds
        self._samples = kept * self._samples + samples
