"""The pairs of each event with the items around it in the user's history, and their sums.

The loop over events only notes which entries are near; the terms of a whole batch are computed at once.

Thinned, a pair counts with the probability p = 1 / (1 + distance / 2), and then 1/p times as much, so the sums keep
their expected values (Horvitz and Thompson, 1952). A hash of the event's id and the other item decides, so that an
event that is counted again, in a smaller batch or by another member, is thinned in the same way.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Final, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from app.core.compiled import compiled
from app.core.folded_pairs import BACK, FORTH, MET, WEIGHT, FoldedPairs
from app.core.history import Entry
from app.core.model import MODEL, Model
from app.core.signals import LANDMARK_MS, MAX_HALVINGS

_SHIFT_11, _SHIFT_27, _SHIFT_30, _SHIFT_31, _SHIFT_32 = (np.uint64(bits) for bits in (11, 27, 30, 31, 32))
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
# A quarter of the pairs of a full history is left.
_THINNED_DISTANCE: Final = 2.0

_item_id: Final = attrgetter("item_id")
_at_ms: Final = attrgetter("at_ms")
_weight: Final = attrgetter("weight")


class _Near(NamedTuple):
    """An event and the number of entries that are near to it on one side: those that are not `newer`, or those that
    are. `share`: that of the event's weight which counts. `met`: by how much the users who had its item are more.
    `id_hash`: of the event's id, 0 without thinning.
    """

    event: Entry
    share: float
    met: int
    newer: bool
    entries: int
    id_hash: int


class PairTerms:
    """`add` notes what an event is paired with, before the event enters the history; `sums` adds all of it up.

    An item's place is that of its newest entry; its distance is the number of items strictly between, and items with
    the same time share it. A pair is as old as the later of its two events. It weighs the geometric mean of their
    weights, so that a log of views only and one of purchases only have the same scale. Of two items with different
    times the later follows the earlier.
    """

    def __init__(self, model: Model = MODEL, *, thinned: bool = False) -> None:
        self._model = model
        self._thinned = thinned
        self._near: list[_Near] = []
        self._entries: list[Entry] = []
        """Those near to the first of `_near`, then those near to the second, …; the nearest ones first."""

    def add(self, entries: list[Entry], event: Entry, event_id: str, share: float, *, met: int) -> None:
        """`entries`: those of the user that make pairs, newest first. `share`: below 0 takes back. `met`: 1 for a user
        who never had the item, -1 for one who does not have it after all.
        """
        id_hash = crc32(event_id.encode()) if self._thinned else 0
        window, item_id, at_ms = self._model.pair_window, event.item_id, event.at_ms
        newest: dict[str, Entry] = {}
        deque(map(newest.setdefault, map(_item_id, entries), entries), 0)
        newest.pop(item_id, None)
        older = list(newest.values())
        if older and older[0].at_ms > at_ms:
            begin = bisect_left(older, -at_ms, key=_newest_first)
            newer, older = older[max(0, begin - window) : begin], older[begin:]
            self._near.append(_Near(event, share, met, True, len(newer), id_hash))
            self._entries += reversed(newer)
        older = older[:window]
        if older:
            self._near.append(_Near(event, share, met, False, len(older), id_hash))
            self._entries += older

    def sums(self) -> FoldedPairs:
        if not self._near:
            return FoldedPairs([], np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 4)))
        events, shares, met, newer, counts, id_hashes = zip(*self._near, strict=True)
        ids = sorted(set(map(_item_id, chain(self._entries, events))))
        numbers = {item_id: number for number, item_id in enumerate(ids)}
        model = self._model
        pairs, sums = _added_up(
            np.array(counts),
            *_columns(self._entries, numbers),
            *_columns(events, numbers),
            np.array(shares),
            np.array(met, np.float64),
            np.array(newer),
            np.array(id_hashes, np.uint64),
            np.array([crc32(item_id.encode()) for item_id in ids] if self._thinned else [], np.uint64),
            len(ids),
            float(model.covisitation_half_life_ms),
            model.pair_distance,
        )
        return FoldedPairs(ids, *np.divmod(pairs, len(ids)), sums)


@compiled(
    "(i8[::1], i8[::1], i8[::1], f8[::1], i8[::1], i8[::1], f8[::1], f8[::1], f8[::1], b1[::1], "
    "u8[::1], u8[::1], i8, f8, f8)"
)
def _added_up(
    counts: NDArray[np.int64],
    near: NDArray[np.int64],
    near_ms: NDArray[np.int64],
    near_weight: NDArray[np.float64],
    items: NDArray[np.int64],
    at_ms: NDArray[np.int64],
    weights: NDArray[np.float64],
    shares: NDArray[np.float64],
    met: NDArray[np.float64],
    is_newer: NDArray[np.bool_],
    id_hashes: NDArray[np.uint64],
    item_hashes: NDArray[np.uint64],
    ids: int,
    half_life_ms: float,
    pair_distance: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each pair once, as the lesser number times `ids` plus the greater one, in order; and a row of sums for each.

    `id_hashes`: of the events. `item_hashes`: of the items by their numbers; empty without thinning.
    """
    terms = np.empty((len(near), 4))
    pairs = np.empty(len(near), np.int64)
    term = begin = 0
    for event in range(len(counts)):
        item, weight = items[event], weights[event]
        first = begin
        for row in range(begin, begin + counts[event]):
            if near_ms[row] != near_ms[first]:
                first = row
            if near_weight[row] <= 0.0:
                continue
            # Nearer than this entry to the event; of those with one time, than the first of them.
            distance = first - begin
            if len(item_hashes) > 0:
                kept = 1.0 / (1.0 + distance / _THINNED_DISTANCE)
                # Between 0 and 1, by the finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
                mixed = id_hashes[event] << _SHIFT_32 | item_hashes[near[row]]
                mixed = (mixed ^ (mixed >> _SHIFT_30)) * _MIX_1
                mixed = (mixed ^ (mixed >> _SHIFT_27)) * _MIX_2
                if np.float64((mixed ^ (mixed >> _SHIFT_31)) >> _SHIFT_11) * 2.0**-53 >= kept:
                    continue
                times = 1.0 / kept
            else:
                times = 1.0
            later_ms, later_weight = (near_ms[row], near_weight[row]) if is_newer[event] else (at_ms[event], weight)
            halvings = (later_ms - LANDMARK_MS) / half_life_ms
            decay = times * shares[event] * 2.0 ** max(-MAX_HALVINGS, min(MAX_HALVINGS, halvings))
            follows = decay * later_weight / (1.0 + distance) if near_ms[row] != at_ms[event] else 0.0
            is_forth = (item < near[row]) == is_newer[event]
            pairs[term] = min(item, near[row]) * ids + max(item, near[row])
            terms[term, WEIGHT] = decay / (1.0 + distance / pair_distance) * np.sqrt(weight * near_weight[row])
            terms[term, MET] = times * met[event]
            terms[term, FORTH] = follows if is_forth else 0.0
            terms[term, BACK] = 0.0 if is_forth else follows
            term += 1
        begin += counts[event]
    order = np.argsort(pairs[:term], kind="mergesort")
    found_pairs, sums = np.empty(term, np.int64), np.empty((term, 4))
    found = -1
    last = np.int64(-1)
    for row in order:
        if pairs[row] != last:
            last = pairs[row]
            found += 1
            found_pairs[found] = last
            sums[found] = terms[row]
        else:
            sums[found] += terms[row]
    return found_pairs[: found + 1], sums[: found + 1]


def added_up(row: NDArray[np.int64], columns: Sequence[NDArray[np.float64]], rows: int) -> NDArray[np.float64]:
    """The sums of each column, by the row that each value belongs to."""
    sums = np.empty((rows, len(columns)))
    for number, column in enumerate(columns):
        sums[:, number] = np.bincount(row, column, rows)
    return sums


def _newest_first(entry: Entry) -> int:
    return -entry.at_ms


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
