"""From a user's history, its items' lists and what is popular, to candidates and their features.

Everything that stands in one of the user's lists is a candidate. What the lists say of it is added up term at a time
(J. Zobel, A. Moffat, "Inverted Files for Text Search Engines", ACM Computing Surveys 38(2), 2006), in arrays as long as
there are candidates, so that the cost does not depend on the size of the catalogue.
"""

from array import array
from collections.abc import Mapping, Sequence
from functools import cache
from math import exp, log1p
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.core.history import Entry, History
from app.core.item_table import ItemTable
from app.core.model import Model
from app.core.neighbours import NO_NEIGHBOURS, Neighbours
from app.core.profile import Profile
from app.core.signals import HOUR_MS, POPULARITY_HALF_LIFE_MS, decayed
from app.core.weights import ABSENCE, FEATURES, FROM_ITEM, FROM_NEIGHBOURS, FROM_OWN, NEIGHBOUR_FEATURES, OWN_FEATURES

_BYTES: Final = 4
"""Of a number and of a value in a list."""

# The neighbour features are shares and cosines: so scaled, their logarithms reach from 0 to about 4.
_SCALES: Final = np.array([20.0, 20.0, 20.0, 50.0], np.float32)[:, None]

LEAST_OWN: Final = -2.0
"""Where having an item already makes it less than an eighth as likely, the user does not get it again, however few
other items there are."""

Values = NDArray[np.float32]
_Lists: TypeAlias = tuple[bytes, bytes, bytes, bytes, bytes]
"""The beginnings of the lists of `Neighbours`."""

_LEAST_COUNT: Final = 20
_ONCE: Final = log1p(1.0)
_PLACES: Final = np.arange(8192)


class Candidates:
    """The candidates of one user: their item `numbers` (each once), and what is known of each.

    `own_rows` are the places of the user's own items among them.
    """

    __slots__ = ("_absence", "_lists", "_own", "_table", "numbers", "own_rows")

    def __init__(
        self, profile: Profile, neighbours: Mapping[str, Neighbours], popular: bytes, table: ItemTable, *, now_ms: int
    ) -> None:
        """`neighbours`: of the profile's seeds. `popular`: item numbers (int32). `now_ms`: of the log's clock."""
        table.make_room()
        model = profile.model
        self._table = table
        self._absence = absence(profile.history, now_ms, model)
        near = _beginnings([neighbours.get(seed.item_id, NO_NEIGHBOURS) for seed in profile.seeds], model)
        then = near[: model.following_seeds]
        find = table.index.find
        own = [(number, entry) for item_id, entry in profile.latest.items() if (number := find(item_id)) is not None]
        own_numbers = array("i", [number for number, _ in own]).tobytes()
        joined = [own_numbers, *[one[0] for one in near], *[one[3] for one in then], popular]
        # As indices of their own size: others numpy converts bit by bit, which takes longer.
        numbers = np.frombuffer(b"".join(joined), np.int32).astype(np.intp)
        rows = self._number_rows(numbers)
        self._lists = np.zeros((len(NEIGHBOUR_FEATURES), len(self.numbers)), np.float32)
        if near:
            lengths = [len(one[0]) // _BYTES for one in near]
            near_to = len(own) + sum(lengths)
            then_to = near_to + sum([len(one[3]) for one in then]) // _BYTES
            self._add_similarities(near, rows[len(own) : near_to], profile.weights, lengths)
            self._add_following(then, rows[near_to:then_to], profile.weights)
            self._lists *= _SCALES
            if min(profile.weights) < 0.0:  # of an item that was given up: it speaks against its neighbours
                self._lists = np.copysign(np.log1p(np.abs(self._lists)), self._lists)
            else:
                np.log1p(self._lists, out=self._lists)
        self.own_rows = rows[: len(own)]
        self._own = self._own_features([entry for _, entry in own], now_ms)
        if profile.history.seen_hashes:
            self._add_earlier(profile.history, now_ms)

    def scores(self, weights: Values, item_scores: Values | None = None, *, least_own: float = LEAST_OWN) -> Values:
        """The weighted sum of each candidate's features; minus infinity for an item of the user's own whose own part of
        it is less than `least_own`. `weights`: for the user's size of history. `item_scores`: by item number, the part
        of the features that are the same for all users (`ItemTable.scores`), where it has been computed.
        """
        if item_scores is None:
            scores: Values = self._table.features.take(self.numbers, axis=0) @ weights[FROM_ITEM]
        else:
            scores = item_scores.take(self.numbers)
        scores += weights[FROM_NEIGHBOURS] @ self._lists
        scores += (weights[ABSENCE] * self._absence) * self._table.prior.take(self.numbers)
        if len(self.own_rows):
            own: Values = self._own @ weights[FROM_OWN]
            own[own < least_own] = -np.inf
            scores[self.own_rows] += own
        return scores

    def features(self, rows: Sequence[int] | NDArray[np.intp] | slice = slice(None)) -> Values:
        """A row of `FEATURES` for each of these candidates."""
        found = self.numbers[rows]
        values = np.empty((len(found), len(FEATURES)), np.float32)
        values[:, FROM_ITEM] = self._table.features[found]
        values[:, FROM_NEIGHBOURS] = self._lists[:, rows].T
        own = np.zeros((len(self.numbers), len(OWN_FEATURES)), np.float32)
        own[self.own_rows] = self._own
        values[:, FROM_OWN] = own[rows]
        values[:, ABSENCE] = self._absence * self._table.prior[found]
        return values

    def rows_of(self, numbers: Sequence[int]) -> NDArray[np.intp]:
        """The rows of those of these items that are candidates."""
        known, wanted = self.numbers, np.array(numbers, np.intp)
        rows = self._table.rows
        if not len(known):
            return rows[:0]
        rows[known] = np.arange(len(known))  # another answer may have used it since
        found = np.minimum(rows.take(wanted), len(known) - 1)
        there: NDArray[np.intp] = found[known.take(found) == wanted]
        return there

    def row_of(self, item_id: str) -> int | None:
        """The row of the item; None: it is not a candidate."""
        number = self._table.index.find(item_id)
        rows: list[int] = [] if number is None else self.rows_of([number]).tolist()
        return rows[0] if rows else None

    def near_scores(self, rows: Sequence[int], weights: Values) -> Values:
        """The part of these candidates' scores that the lists of the user's latest items give."""
        found: Values = weights[FROM_NEIGHBOURS] @ self._lists.take(rows, axis=1)
        return found

    def _number_rows(self, numbers: NDArray[np.intp]) -> NDArray[np.intp]:
        """Finds the distinct `numbers`, and returns the row of each of `numbers` among them.

        A scratch array by item number finds where each number stands last.
        """
        rows = self._table.rows
        places = _PLACES[: len(numbers)] if len(numbers) <= len(_PLACES) else np.arange(len(numbers))
        rows[numbers] = places
        self.numbers = numbers.take((rows.take(numbers) == places).nonzero()[0])
        rows[self.numbers] = places[: len(self.numbers)]
        found: NDArray[np.intp] = rows.take(numbers)
        return found

    def _add_similarities(
        self, near: Sequence[_Lists], rows: NDArray[np.intp], weights: Sequence[float], lengths: Sequence[int]
    ) -> None:
        similarities = np.frombuffer(b"".join([one[1] for one in near]), np.float32)
        lasting = np.frombuffer(b"".join([one[2] for one in near]), np.float32)
        weight = np.array(weights, np.float32).repeat(lengths)
        lists, count = self._lists, len(self.numbers)
        lists[_SIMILAR] = np.bincount(rows, similarities * weight, count)
        lists[_LAST, rows[: lengths[0]]] = similarities[: lengths[0]]
        lists[_LASTING] = np.bincount(rows, lasting, count)
        lists[_LASTING] *= np.float32(1.0 / len(near))

    def _add_following(self, then: Sequence[_Lists], rows: NDArray[np.intp], weights: Sequence[float]) -> None:
        following = np.frombuffer(b"".join([one[4] for one in then]), np.float32)
        weight = np.array(weights[: len(then)], np.float32).repeat([len(one[4]) // _BYTES for one in then])
        self._lists[_FOLLOWING] = np.bincount(rows, following * weight, len(self.numbers))

    def _own_features(self, own: Sequence[Entry], now_ms: int) -> Values:
        rows = [
            (
                1.0,
                _times(entry, now_ms) if entry.other_weight else _ONCE,
                log1p((now_ms - entry.at_ms) / HOUR_MS if now_ms > entry.at_ms else 0.0),
                0.0,
            )
            for entry in own
        ]
        values = np.array(rows, np.float32).reshape(-1, len(OWN_FEATURES))
        values[:, 3] = self._table.own_repeats.take(self.numbers.take(self.own_rows))
        return values

    def _add_earlier(self, history: History, now_ms: int) -> None:
        """What the user had before is not among the entries any more, so it is older than all of them."""
        had = np.isin(self._table.hashes[self.numbers], np.array(history.seen_hashes, np.uint32))
        had[self.own_rows] = False
        rows = had.nonzero()[0]
        if len(rows):
            hours = max(0, now_ms - history.entries[-1].at_ms) / HOUR_MS
            values = np.ones((len(rows), len(OWN_FEATURES)), np.float32)
            values[:, 1] = _ONCE
            values[:, 2] = log1p(hours)
            values[:, 3] = self._table.own_repeats.take(self.numbers.take(rows))
            self.own_rows = np.concatenate([self.own_rows, rows])
            self._own = np.concatenate([self._own, values])


_SIMILAR, _LAST, _LASTING, _FOLLOWING = range(len(NEIGHBOUR_FEATURES))


def _times(entry: Entry, now_ms: int) -> float:
    """How often the user did this with the item, log-scaled: once, and the others as they have decayed."""
    if not entry.weight:
        return _ONCE
    by_ms = max(0, now_ms - entry.at_ms)
    others = decayed(entry.other_weight / entry.weight, by_ms, POPULARITY_HALF_LIFE_MS)
    return log1p(max(0.0, 1.0 + others))


def _beginnings(near: Sequence[Neighbours], model: Model) -> list[_Lists]:
    """An older item weighs less, and gives fewer candidates."""
    return [
        (
            one.numbers[:size],
            one.similarities[:size],
            one.lasting[:size],
            one.followers[:size],
            one.following[:size],
        )
        for one, size in zip(near, _sizes(model.neighbours, model.recency, model.seeds), strict=False)
    ]


@cache
def _sizes(neighbours: int, recency: float, seeds: int) -> Sequence[int]:
    """In bytes, for each place of a seed."""
    return tuple(_BYTES * max(_LEAST_COUNT, round(neighbours * recency ** (place / 2))) for place in range(seeds))


def absence(history: History, now_ms: int, model: Model) -> float:
    """What the most popular item's popularity weighs for the user: more, the longer they have been away."""
    if not history.entries:
        return model.absence_stale
    stale = 1.0 - exp(-max(0, now_ms - history.entries[0].at_ms) / model.stale_after_ms)
    return model.absence_fresh + (model.absence_stale - model.absence_fresh) * stale
