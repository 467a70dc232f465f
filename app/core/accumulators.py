"""Scores added up by item: each item has a number, and each number a slot to add to.

Lists of items are arrays of numbers, so that an answer is a dozen operations on all of its lists at once, instead of a
step a term. As such: the accumulators of ranking term by term, J. Zobel, A. Moffat, "Inverted Files for Text Search
Engines", ACM Computing Surveys 38(2), 2006. What an answer costs goes by its terms, not by the size of the catalogue.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.intp]
Scores = NDArray[np.float32]

_FIRST_SLOTS: Final = 1024


class Accumulators:
    """Numbers the items that it is told of, from 0; a number is for ever. Some 150 bytes an item.

    Not for several threads. Between two calls all slots are 0, so it has no state but the numbers.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        """The item of each number."""
        self._numbers: dict[str, int] = {}
        self._sums: Scores = np.zeros(_FIRST_SLOTS, np.float32)
        self._places: Scores = np.arange(_FIRST_SLOTS, dtype=np.float32)

    def find(self, item_id: str) -> int | None:
        """None for an item that was never numbered."""
        return self._numbers.get(item_id)

    def find_all(self, item_ids: Iterable[str]) -> list[int]:
        """The numbers of those items that have one."""
        found = map(self._numbers.get, item_ids)
        return [number for number in found if number is not None]

    def number(self, item_ids: Sequence[str]) -> NDArray[np.int32]:
        """The numbers of all these items; those that have none get one."""
        numbers = self._numbers
        for item_id in item_ids:
            if item_id not in numbers:
                numbers[item_id] = len(self.ids)
                self.ids.append(item_id)
        return np.fromiter(map(numbers.__getitem__, item_ids), np.int32, len(item_ids))

    def totals(
        self, numbers: Numbers, terms: Scores, *, without: Sequence[int] = (), factors: Mapping[int, float]
    ) -> tuple[Numbers, Scores]:
        """Each of `numbers` once, with the sum of the `terms` of all its places.

        That of the numbers in `without` is 0, and that of those in `factors` is multiplied.
        """
        if len(self._sums) < len(self.ids):
            self._sums = np.zeros(2 * len(self.ids), np.float32)
        if len(self._places) < len(numbers):
            self._places = np.arange(2 * len(numbers), dtype=np.float32)
        sums, places = self._sums, self._places[: len(numbers)]
        np.add.at(sums, numbers, terms)
        if factors:
            sums[list(factors)] *= np.fromiter(factors.values(), np.float32, len(factors))
        if without:
            sums[list(without)] = 0.0
        found = sums.take(numbers)
        # Of the places of a number the last is what the slot then holds; a float32 tells whole numbers up to 2**24.
        sums[numbers] = places
        last = (sums.take(numbers) == places).nonzero()[0]
        sums[numbers] = 0.0
        return numbers.take(last), found.take(last)
