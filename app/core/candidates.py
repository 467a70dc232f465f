"""Candidates with their scores, what a user does not get again, and the best candidates in order."""

from collections.abc import Callable, Collection, Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.core.history import seen_hash
from app.core.item_index import ItemIndex


class Exclusions(Struct, frozen=True):
    """What the user has: `item_ids`, and the items whose `seen_hash` is in `seen_hashes`. The ranking may offer such an
    item again; nothing else does.
    """

    item_ids: Collection[str] = frozenset()
    seen_hashes: frozenset[int] = frozenset()

    def __contains__(self, item_id: str) -> bool:
        return item_id in self.item_ids or (bool(self.seen_hashes) and seen_hash(item_id) in self.seen_hashes)


NO_EXCLUSIONS: Final = Exclusions()


class Scored(Struct, frozen=True):
    """Item numbers and their scores, which are above 0, in no order."""

    numbers: NDArray[np.int32]
    scores: NDArray[np.float64]


class Candidates:
    """The items of a ranking, best first. Ranks no more of them than `best` is asked for."""

    __slots__ = ("_index", "_order", "_rank", "_ranked_all", "_scores", "exclusions")

    def __init__(self, index: ItemIndex, rank: Callable[[int], Scored], exclusions: Exclusions = NO_EXCLUSIONS) -> None:
        """`rank`: at least so many candidates, or all; those of an earlier call among them, with the same scores."""
        self._index = index
        self._rank = rank
        self._ranked_all = False
        self._scores: dict[str, float] = {}
        self._order: list[str] = []
        self.exclusions = exclusions

    def best(self, count: int) -> list[str]:
        """The `count` best candidates in order, or all if there are fewer. More of them only continues the list."""
        if len(self._order) < count and not self._ranked_all:
            self._look_deeper(count)
        return self._order[:count]

    def score(self, item_id: str) -> float:
        """0 for an item that is not among those ranked so far."""
        return self._scores.get(item_id, 0.0)

    def scores(self, item_ids: Sequence[str]) -> list[float]:
        return [self._scores.get(item_id, 0.0) for item_id in item_ids]

    def _look_deeper(self, count: int) -> None:
        found = self._rank(count)
        self._ranked_all = len(found.numbers) < count
        # Of equal scores the lesser id comes first: item numbers differ from process to process.
        order = found.scores.argsort()[::-1]
        ids, scores = self._index.ids, found.scores[order].tolist()
        ranked = {ids[number]: score for number, score in zip(found.numbers[order].tolist(), scores, strict=True)}
        if len(set(scores)) < len(scores):  # which is rare, and sorting by both takes longer than all the rest
            ranked = dict(sorted(ranked.items(), key=lambda pair: (-pair[1], pair[0])))
        self._order += [item_id for item_id in ranked if item_id not in self._scores]
        self._scores.update(ranked)
