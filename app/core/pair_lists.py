"""The pairs of one item in arrays that grow, for a log that is played in memory."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_FIRST_ROOM: Final = 8
WEIGHT, MET, FOLLOWS = range(3)
"""The columns: the pair's weight, users who met both, and how often the other followed the item."""


class PairLists:
    """`numbers` of the other items, and a row of sums for each."""

    __slots__ = ("_count", "_numbers", "_row_of", "_sums")

    def __init__(self) -> None:
        self._count = 0
        self._row_of: dict[int, int] = {}
        self._numbers = np.zeros(_FIRST_ROOM, np.int32)
        self._sums = np.zeros((_FIRST_ROOM, 3))

    @property
    def numbers(self) -> NDArray[np.int32]:
        return self._numbers[: self._count]

    @property
    def sums(self) -> NDArray[np.float64]:
        return self._sums[: self._count]

    def add(self, number: int, weight: float, met: float, follows: float) -> None:
        row = self._row_of.get(number)
        if row is None:
            row = self._row_of[number] = self._count
            self._count += 1
            if row == len(self._numbers):
                self._numbers = np.concatenate([self._numbers, np.zeros_like(self._numbers)])
                self._sums = np.concatenate([self._sums, np.zeros_like(self._sums)])
            self._numbers[row] = number
        sums = self._sums[row]
        sums[WEIGHT] += weight
        sums[MET] += met
        sums[FOLLOWS] += follows
