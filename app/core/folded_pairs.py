"""What a batch of events adds to pairs. Apart from the loops that make it: a relay has no use for the compiler."""

from collections.abc import Container

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

WEIGHT, MET, FORTH, BACK = range(4)
"""The columns of `FoldedPairs.sums`."""


class FoldedPairs(Struct, frozen=True):
    """What a batch adds to pairs, each pair once: the items `ids[one]` and `ids[other]`, the lesser id first.

    A row of `sums` is the pair's weight, how many users met both items, and how often the second followed the first and
    the first the second. All but the number of users are forward-decayed with the half-life of co-visitation.
    """

    ids: list[str]
    one: NDArray[np.int64]
    other: NDArray[np.int64]
    sums: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.one)

    def between(self, item_ids: Container[str]) -> "FoldedPairs":
        """Those whose items are both among these."""
        found = np.array([item_id in item_ids for item_id in self.ids], np.bool_)
        if found.all():
            return self
        kept = found[self.one] & found[self.other]
        number = np.cumsum(found) - 1
        ids = [item_id for item_id, is_in in zip(self.ids, found.tolist(), strict=True) if is_in]
        return FoldedPairs(ids, number[self.one[kept]], number[self.other[kept]], self.sums[kept])
