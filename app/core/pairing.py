"""The pairs of each event with the items around it in the user's history, and their sums.

The loop over events only notes which entries are near; numpy computes the terms of a whole batch.
"""

from collections.abc import Container, Sequence
from itertools import chain
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.core.history import Entry
from app.core.model import MODEL, Model
from app.core.signals import forward_weights

WEIGHT, MET, FORTH, BACK = range(4)
"""The columns of `FoldedPairs.sums`."""

_item_id: Final = attrgetter("item_id")
_at_ms: Final = attrgetter("at_ms")
_weight: Final = attrgetter("weight")


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


class _Near(NamedTuple):
    """An event and the number of entries that are near to it on one side: those that are not `newer`, or those that
    are. `share`: that of the event's weight which counts. `is_new`: the user never had its item.
    """

    event: Entry
    share: float
    is_new: bool
    newer: bool
    entries: int


class PairTerms:
    """`add` notes what an event is paired with, before the event enters the history; `sums` adds all of it up.

    An item's place is that of its newest entry; its distance is the number of items strictly between, and items with
    the same time share it. A pair is as old as the later of its two events. It weighs the geometric mean of their
    weights, so that a log of views only and one of purchases only have the same scale. Of two items with different
    times the later follows the earlier.
    """

    def __init__(self, model: Model = MODEL) -> None:
        self._model = model
        self._near: list[_Near] = []
        self._entries: list[Entry] = []
        """Those near to the first of `_near`, then those near to the second, …; the nearest ones first."""

    def add(self, entries: list[Entry], event: Entry, share: float, *, is_new: bool) -> None:
        """`entries`: those of the user, newest first."""
        window, item_id, at_ms = self._model.pair_window, event.item_id, event.at_ms
        older = entries[:window]
        ids = set(map(_item_id, older))
        if older and (len(ids) < len(older) or item_id in ids or older[0].at_ms > at_ms):
            ids = {item_id}
            newer, older = [], []
            for entry in entries:
                if entry.item_id in ids:
                    continue
                ids.add(entry.item_id)
                if entry.at_ms > at_ms:
                    newer.append(entry)
                else:
                    older.append(entry)
                    if len(older) == window:
                        break
            if newer:
                newer = newer[: -window - 1 : -1]
                self._near.append(_Near(event, share, is_new, True, len(newer)))
                self._entries += newer
        if older:
            self._near.append(_Near(event, share, is_new, False, len(older)))
            self._entries += older

    def sums(self) -> FoldedPairs:
        if not self._near:
            return FoldedPairs([], np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 4)))
        events, shares, is_new, newer, counts = zip(*self._near, strict=True)
        ids = sorted(set(map(_item_id, chain(self._entries, events))))
        numbers = {item_id: number for number, item_id in enumerate(ids)}
        near, near_ms, near_weight = _columns(self._entries, numbers)
        distance = _distances(near_ms, np.array(counts))
        of = np.repeat(np.arange(len(events)), counts)
        liked = near_weight > 0.0
        of, near, near_ms = of[liked], near[liked], near_ms[liked]
        near_weight, distance = near_weight[liked], distance[liked]
        item, at_ms, weight = (column[of] for column in _columns(events, numbers))
        is_newer = np.array(newer)[of]

        model = self._model
        decay = np.array(shares)[of] * forward_weights(np.maximum(at_ms, near_ms), model.covisitation_half_life_ms)
        follows = decay * np.where(is_newer, near_weight, weight) / (1.0 + distance) * (at_ms != near_ms)
        is_forth = (item < near) == is_newer
        pairs, row = np.unique(np.minimum(item, near) * len(ids) + np.maximum(item, near), return_inverse=True)
        columns = (
            decay / (1.0 + distance / model.pair_distance) * np.sqrt(weight * near_weight),
            np.array(is_new, np.float64)[of],
            follows * is_forth,
            follows * ~is_forth,
        )
        return FoldedPairs(ids, *np.divmod(pairs, len(ids)), added_up(row, columns, len(pairs)))


def added_up(row: NDArray[np.int64], columns: Sequence[NDArray[np.float64]], rows: int) -> NDArray[np.float64]:
    """The sums of each column, by the row that each value belongs to."""
    sums = np.empty((rows, len(columns)))
    for number, column in enumerate(columns):
        sums[:, number] = np.bincount(row, column, rows)
    return sums


def _columns(
    entries: Sequence[Entry], numbers: dict[str, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The items' numbers, times and weights."""
    count = len(entries)
    return (
        np.fromiter(map(numbers.__getitem__, map(_item_id, entries)), np.int64, count),
        np.fromiter(map(_at_ms, entries), np.int64, count),
        np.fromiter(map(_weight, entries), np.float64, count),
    )


def _distances(near_ms: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many entries are nearer than each one to its event; of those with one time, than the first of them."""
    begins = np.cumsum(counts) - counts
    is_first = np.ones(len(near_ms), np.bool_)
    is_first[1:] = near_ms[1:] != near_ms[:-1]
    is_first[begins] = True
    first = np.maximum.accumulate(np.where(is_first, np.arange(len(near_ms)), 0))
    return first - np.repeat(begins, counts)
