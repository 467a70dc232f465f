"""Items with their scores, what a user does not get again, and the best items in order."""

from collections.abc import Collection, Sequence
from itertools import repeat
from operator import eq, neg
from typing import Final, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.core.accumulators import places_of_best
from app.core.history import seen_hash
from app.core.item_index import ItemIndex, Numbers

NOT_RANKED: Final = -1
"""The row of an item that is not among those ranked."""

Rows: TypeAlias = Sequence[int] | NDArray[np.int64]


class Exclusions(Struct, frozen=True):
    """What the user has: `item_ids`, and the items whose `seen_hash` is in `seen_hashes`. The ranking may offer such an
    item again; nothing else does.
    """

    item_ids: Collection[str] = frozenset()
    seen_hashes: frozenset[int] = frozenset()

    def __contains__(self, item_id: str) -> bool:
        return item_id in self.item_ids or (bool(self.seen_hashes) and seen_hash(item_id) in self.seen_hashes)

    def without(self, item_ids: Sequence[str]) -> Sequence[str]:
        """The others of these items."""
        if not self.item_ids and not self.seen_hashes:
            return item_ids
        return [item_id for item_id in item_ids if item_id not in self]


NO_EXCLUSIONS: Final = Exclusions()


class Ranked:
    """Items with scores above 0, best first. `best` sorts no more of them than are asked for."""

    __slots__ = ("_best", "_best_scores", "_index", "_numbers", "_places", "_rows", "_scores", "_whole", "exclusions")

    def __init__(
        self,
        index: ItemIndex,
        numbers: Numbers,
        scores: NDArray[np.float32],
        exclusions: Exclusions = NO_EXCLUSIONS,
    ) -> None:
        """`scores` of the items with these `numbers`; an item whose score is 0 is left out."""
        self._index = index
        self._numbers = numbers
        self._scores = scores
        self._best: list[str] = []
        self._best_scores: list[float] = []
        self._places = np.empty(0, np.int64)
        self._whole = False
        self._rows: dict[str, int] = {}  # of the best, once they are asked for
        self.exclusions = exclusions

    def best(self, count: int) -> list[str]:
        """The `count` best items in order, or all if there are fewer. Of equal scores the lesser id comes first: item
        numbers differ from process to process.
        """
        self._places = places = places_of_best(self._scores, count)
        self._best = found = list(map(self._index.ids.__getitem__, self._numbers.take(places).tolist()))
        self._best_scores = values = self._scores.take(places).tolist()
        self._rows.clear()
        self._whole = len(found) < count
        if any(map(eq, values, values[1:])):  # which is rare, and sorting by both takes longer than all the rest
            found = [item_id for _, item_id in sorted(zip(map(neg, values), found, strict=True))]
        return found[:count]

    def score(self, item_id: str) -> float:
        """0 for an item that is not among these."""
        row = self.row(item_id)
        return 0.0 if row is None else self._scores.item(row)

    def rows_and_scores(self, item_ids: Sequence[str]) -> tuple[Rows, list[float]]:
        """The items' places among the numbers, and their scores; `NOT_RANKED` and 0 for an item that is not among
        these, or has no score.
        """
        count = len(item_ids)
        if item_ids == self._best[:count]:  # as most pages are
            return self._places[:count], self._best_scores[:count]
        rows = self._rows_of(item_ids)
        return rows, [0.0 if row == NOT_RANKED else self._scores.item(row) for row in rows]

    def _rows_of(self, item_ids: Sequence[str]) -> list[int]:
        if not self._rows:
            self._rows = dict(zip(self._best, self._places.tolist(), strict=True))
        if self._whole:  # whatever has a score is among the best
            return list(map(self._rows.get, item_ids, repeat(NOT_RANKED)))
        try:
            return list(map(self._rows.__getitem__, item_ids))
        except KeyError:  # one that `best` did not reach: pinned, explored, or of the catalogue
            return [NOT_RANKED if row is None else row for row in map(self.row, item_ids)]

    def row(self, item_id: str) -> int | None:
        """The item's place among the numbers; None for an item that is not among these."""
        if not self._rows:
            self._rows = dict(zip(self._best, self._places.tolist(), strict=True))
        row = self._rows.get(item_id)
        if row is None:  # one that `best` did not reach: pinned, explored, or of the catalogue
            number = self._index.find(item_id)
            rows = () if number is None else (self._numbers == number).nonzero()[0].tolist()
            row = rows[0] if rows else None
        return row
