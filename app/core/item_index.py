"""Numbers for items, so that lists of items are arrays, and an answer some dozen operations on all of its lists."""

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int32] | NDArray[np.intp]


class ItemIndex:
    """Gives each item a number, from 0. Some 150 bytes an item.

    `sweep` forgets items that nobody uses; their numbers go to other items after the next sweep, when no answer of
    before is under way any more. Not thread-safe.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        """The item of each number, or the one that had it last."""
        self.reused: list[int] = []
        """Numbers that went to another item; whoever keeps arrays by number empties this."""
        self._numbers: dict[str, int] = {}
        self._held = np.zeros(0, np.bool_)
        self._used = np.zeros(0, np.bool_)
        self._retired: list[int] = []
        self._free: list[int] = []

    @property
    def items(self) -> Collection[str]:
        """Those that have a number."""
        return self._numbers.keys()

    def find(self, item_id: str) -> int | None:
        """None for an item that has no number."""
        return self._numbers.get(item_id)

    def number(self, item_ids: Sequence[str]) -> NDArray[np.int32]:
        """The numbers of all these items, which are used from now on; those that have none get one."""
        numbers = self._numbers
        known = list(map(numbers.get, item_ids))
        if None in known:
            for item_id in item_ids:
                if item_id not in numbers:
                    numbers[item_id] = self._next(item_id)
            known = list(map(numbers.get, item_ids))
        found = np.array(known, np.int32)
        if len(self._used) < len(self.ids):
            room = np.zeros(len(self.ids), np.bool_)
            self._used, self._held = np.concatenate([self._used, room]), np.concatenate([self._held, room])
        self._used[found] = self._held[found] = True
        return found

    def without_number(self, item_ids: Iterable[str]) -> list[str]:
        """Those of these items that have no number."""
        numbers = self._numbers
        return [item_id for item_id in item_ids if item_id not in numbers]

    def numbers(self, item_ids: Iterable[str]) -> list[int]:
        """The numbers of those of these items that have one."""
        found = list(map(self._numbers.get, item_ids))
        return [number for number in found if number is not None]

    def use(self, numbers: Numbers) -> None:
        """Marks items that stay in the next sweep."""
        self._used[numbers] = True

    def sweep(self) -> NDArray[np.int32]:
        """Forgets the items that were neither numbered nor marked since the last sweep; returns their numbers."""
        self._free += self._retired
        gone: NDArray[np.int32] = (self._held & ~self._used).nonzero()[0].astype(np.int32)
        self._retired = gone.tolist()
        for number in self._retired:
            del self._numbers[self.ids[number]]
        self._held[gone] = False
        self._used[:] = False
        return gone

    def _next(self, item_id: str) -> int:
        if not self._free:
            self.ids.append(item_id)
            return len(self.ids) - 1
        number = self._free.pop()
        self.ids[number] = item_id
        self.reused.append(number)
        return number
