"""Scores added up by item: each item has a number, which is its place in an array of sums.

Lists of items are arrays of numbers, so that an answer is a dozen operations on all of its lists at once, instead of a
step a term. This is term-at-a-time ranking: J. Zobel, A. Moffat, "Inverted Files for Text Search Engines", ACM
Computing Surveys 38(2), 2006.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int32] | NDArray[np.intp]
Scores = NDArray[np.float32]

_STRIPES: Final = 16
_ABOVE_ZERO: Final = np.finfo(np.float32).smallest_subnormal


class ItemIndex:
    """Gives each item a number, from 0. Item numbers are never reused. Some 150 bytes an item.

    Not thread-safe.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        """The item of each number."""
        self._numbers: dict[str, int] = {}

    def find(self, item_id: str) -> int | None:
        """None for an item that was never numbered."""
        return self._numbers.get(item_id)

    def number(self, item_ids: Sequence[str]) -> NDArray[np.int32]:
        """The numbers of all these items; those that have none get one."""
        numbers = self._numbers
        for item_id in item_ids:
            if item_id not in numbers:
                numbers[item_id] = len(self.ids)
                self.ids.append(item_id)
        return np.fromiter(map(numbers.__getitem__, item_ids), np.int32, len(item_ids))

    def sums(self, numbers: Numbers, terms: Scores, factors: Mapping[str, float], never: Iterable[str] = ()) -> Scores:
        """At the place of each number the sum of its `terms`, 0 where it has none. Those of the items in `factors` are
        multiplied, those in `never` are 0. The array is longer than there are numbers: `highest` wants a multiple of
        its stripes.
        """
        sums = np.zeros(-(-len(self.ids) // _STRIPES) * _STRIPES, np.float32)
        # As indices of their own size: others `add.at` converts bit by bit, which takes longer.
        np.add.at(sums, numbers.astype(np.intp), terms)
        find = self._numbers.get
        for item_id, factor in factors.items():
            if (number := find(item_id)) is not None:
                sums[number] = sums.item(number) * factor
        for item_id in never:
            if (number := find(item_id)) is not None:
                sums[number] = 0.0
        return sums


def highest(sums: Scores, count: int) -> Numbers:
    """The numbers of the `count` highest sums above 0, and of those that equal the last of them, and maybe some more.

    To put thousands in order for the sake of twenty would cost as much as adding them up. The sums are laid in stripes:
    `count` of the columns have a sum at least as high as the `count`-th highest of the columns' maxima.
    """
    bound = _ABOVE_ZERO
    maxima = np.maximum.reduce(sums.reshape(_STRIPES, -1), axis=0)
    if len(maxima) > count:
        maxima.partition(len(maxima) - count)
        bound = max(bound, maxima[-count])
    return (sums >= bound).nonzero()[0]
