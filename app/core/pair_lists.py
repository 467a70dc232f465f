"""The sums of pairs in one table that grows, and where each item's pairs are, for a log that is played in memory."""

from array import array
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.core.folded_pairs import FoldedPairs
from app.core.item_index import ItemIndex

_FIRST_ROOM: Final = 1024
WEIGHT, MET, FOLLOWS = range(3)
"""The columns of `PairLists.of`: the pair's weight, users who met both, and how often the other followed the item."""
_FORTH: Final = np.array([0, 1, 2])
_BACK: Final = np.array([0, 1, 3])


class PairLists:
    """`changes`: by item number, how often its pairs were added to."""

    def __init__(self, index: ItemIndex) -> None:
        self._index = index
        self._row_of: dict[tuple[int, int], int] = {}
        self._sums = np.zeros((_FIRST_ROOM, 4))
        self._others: list[array[int]] = []
        """By item: the numbers of the other items …"""
        self._rows: list[array[int]] = []
        """… and the rows of their pairs; of a pair in which the item stands second, -1 - the row."""
        self.changes: list[int] = []

    def add(self, pairs: FoldedPairs) -> None:
        """The items have numbers already."""
        missing = len(self._index.ids) - len(self.changes)
        self._others += [array("i") for _ in range(missing)]
        self._rows += [array("i") for _ in range(missing)]
        self.changes += [0] * missing
        if pairs:
            numbers = self._index.number(pairs.ids)
            rows = list(map(self._row, numbers[pairs.one].tolist(), numbers[pairs.other].tolist()))
            self._sums[rows] += pairs.sums

    def of(self, item: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The numbers of the other items, and a row of sums for each."""
        others, rows = np.array(self._others[item], np.int32), np.array(self._rows[item], np.int32)
        stands_second = rows < 0
        rows[stands_second] = -1 - rows[stands_second]
        sums = self._sums[rows]
        return others, np.where(stands_second[:, None], sums[:, _BACK], sums[:, _FORTH])

    def _row(self, one: int, other: int) -> int:
        self.changes[one] += 1
        self.changes[other] += 1
        row = self._row_of.get((one, other))
        if row is None:
            row = self._row_of[one, other] = len(self._row_of)
            if row == len(self._sums):
                self._sums = np.concatenate([self._sums, np.zeros_like(self._sums)])
            for item, its_other, its_row in ((one, other, row), (other, one, -1 - row)):
                self._others[item].append(its_other)
                self._rows[item].append(its_row)
        return row
