"""Numbers for items, so that lists of items are arrays, and an answer some dozen operations on all of its lists."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int32] | NDArray[np.intp]


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

    def numbers(self, item_ids: Iterable[str]) -> list[int]:
        """The numbers of those of these items that have one."""
        find = self._numbers.get
        return [number for item_id in item_ids if (number := find(item_id)) is not None]
