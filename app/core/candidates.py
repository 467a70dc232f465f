"""From a user's history, its items' lists and what is popular, to candidates and their features.

Everything that stands in one of the user's lists is a candidate. What the lists say of it is added up term at a time
(J. Zobel, A. Moffat, "Inverted Files for Text Search Engines", ACM Computing Surveys 38(2), 2006), in arrays as long as
there are candidates, so that the cost does not depend on the size of the catalogue.
"""

from collections.abc import Mapping, Sequence
from math import exp
from typing import Final

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
_REPEATS_SCALE: Final = 50.0

LEAST_OWN: Final = -2.0
"""Where having an item already makes it less than an eighth as likely, the user does not get it again, however few other
items there are."""

Values = NDArray[np.float32]


class Candidates:
    """The candidates of one user: their item `numbers` (int32, each once), and what is known of each.

    `own_rows` are the places of the user's own items among them.
    """

    __slots__ = ("_absence", "_lists", "_own", "_table", "numbers", "own_rows")

    def __init__(
        self, profile: Profile, neighbours: Mapping[str, Neighbours], popular: bytes, table: ItemTable, *, now_ms: int
    ) -> None:
        """`neighbours`: of the profile's seeds. `popular`: item numbers (int32). `now_ms`: of the log's clock."""
        table.make_room()
        self._table = table
        self._absence = absence(profile.history, now_ms, profile.model)
        near = [neighbours.get(seed.item_id, NO_NEIGHBOURS) for seed in profile.seeds]
        then = near[: profile.model.following_seeds]
        find = table.index.find
        own = [(number, entry) for item_id, entry in profile.latest.items() if (number := find(item_id)) is not None]
        own_numbers = np.fromiter([number for number, _ in own], np.int32, len(own)).tobytes()
        joined = [own_numbers, *[one.numbers for one in near], *[one.followers for one in then], popular]
        numbers = np.frombuffer(b"".join(joined), np.int32)
        rows = self._number_rows(numbers)
        near_to = len(own) + sum([len(one.numbers) for one in near]) // _BYTES
        then_to = near_to + sum([len(one.followers) for one in then]) // _BYTES
        self._lists = np.zeros((len(NEIGHBOUR_FEATURES), len(self.numbers)), np.float32)
        if near:
            self._add_similarities(near, rows[len(own) : near_to], profile.weights)
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
        it is less than `least_own`. `weights`: for the user's size of history. `item_scores`: by
        item number, the part of the features that are the same for all users (`ItemTable.scores`), where it has been
        computed.
        """
        if item_scores is None:
            scores: Values = self._table.features.take(self.numbers, axis=0) @ weights[FROM_ITEM]
        else:
            scores = item_scores.take(self.numbers)
        scores += weights[FROM_NEIGHBOURS] @ self._lists
        scores += (weights[ABSENCE] * self._absence) * self._table.prior.take(self.numbers)
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

    def rows_of(self, numbers: Sequence[int]) -> NDArray[np.int32]:
        """The rows of those of these items that are candidates."""
        known, wanted = self.numbers, np.array(numbers, np.int32)
        if not len(known):
            return known
        rows = self._table.rows
        rows[known] = np.arange(len(known), dtype=np.int32)  # another answer may have used it since
        found = np.minimum(rows.take(wanted), len(known) - 1)
        there: NDArray[np.int32] = found[known.take(found) == wanted]
        return there

    def _number_rows(self, numbers: NDArray[np.int32]) -> NDArray[np.int32]:
        """Finds the distinct `numbers`, and returns the row of each of `numbers` among them.

        A scratch array by item number finds where each number stands last.
        """
        rows = self._table.rows
        places = np.arange(len(numbers), dtype=np.int32)
        rows[numbers] = places
        self.numbers = numbers[rows.take(numbers) == places]
        rows[self.numbers] = places[: len(self.numbers)]
        found: NDArray[np.int32] = rows.take(numbers)
        return found

    def _add_similarities(self, near: Sequence[Neighbours], rows: NDArray[np.int32], weights: Sequence[float]) -> None:
        count = len(self.numbers)
        lengths = [len(one.similarities) // _BYTES for one in near]
        similarities = np.frombuffer(b"".join([one.similarities for one in near]), np.float32)
        lasting = np.frombuffer(b"".join([one.lasting for one in near]), np.float32)
        weight = np.fromiter(weights, np.float32, len(near)).repeat(lengths)
        self._lists[_SIMILAR] = np.bincount(rows, similarities * weight, count)
        self._lists[_LAST, rows[: lengths[0]]] = similarities[: lengths[0]]
        self._lists[_LASTING] = np.bincount(rows, lasting, count)
        self._lists[_LASTING] /= len(near)

    def _add_following(self, then: Sequence[Neighbours], rows: NDArray[np.int32], weights: Sequence[float]) -> None:
        following = np.frombuffer(b"".join([one.following for one in then]), np.float32)
        weight = np.fromiter(weights[: len(then)], np.float32, len(then))
        weight = weight.repeat([len(one.following) // _BYTES for one in then])
        self._lists[_FOLLOWING] = np.bincount(rows, following * weight, len(self.numbers))

    def _own_features(self, own: Sequence[Entry], now_ms: int) -> Values:
        values = np.empty((len(OWN_FEATURES), len(own)), np.float32)
        values[0] = 1.0
        values[1] = [_times(entry, now_ms) for entry in own]
        values[2] = [now_ms - entry.at_ms for entry in own]
        values[2] /= HOUR_MS
        values[3] = self._table.repeat_rates[self.numbers[self.own_rows]]
        values[3] *= _REPEATS_SCALE
        np.maximum(values, 0.0, out=values)
        np.log1p(values[1:], out=values[1:])
        return values.T

    def _add_earlier(self, history: History, now_ms: int) -> None:
        """What the user had before is not among the entries any more, so it is older than all of them."""
        had = np.isin(self._table.hashes[self.numbers], np.array(history.seen_hashes, np.uint32))
        had[self.own_rows] = False
        rows = had.nonzero()[0].astype(np.int32)
        if len(rows):
            hours = max(0, now_ms - history.entries[-1].at_ms) / HOUR_MS
            values = np.empty((len(rows), len(OWN_FEATURES)), np.float32)
            values[:, 0] = 1.0
            values[:, 1] = np.log1p(1.0)
            values[:, 2] = np.log1p(hours)
            values[:, 3] = np.log1p(_REPEATS_SCALE * self._table.repeat_rates[self.numbers[rows]])
            self.own_rows = np.concatenate([self.own_rows, rows])
            self._own = np.concatenate([self._own, values])


_SIMILAR, _LAST, _LASTING, _FOLLOWING = range(len(NEIGHBOUR_FEATURES))


def _times(entry: Entry, now_ms: int) -> float:
    """How often the user did this with the item: once, and the others as they have decayed."""
    if not entry.other_weight or not entry.weight:
        return 1.0
    by_ms = max(0, now_ms - entry.at_ms)
    return 1.0 + decayed(entry.other_weight / entry.weight, by_ms, POPULARITY_HALF_LIFE_MS)


def absence(history: History, now_ms: int, model: Model) -> float:
    """What the most popular item's popularity weighs for the user: more, the longer they have been away."""
    if not history.entries:
        return model.absence_stale
    stale = 1.0 - exp(-max(0, now_ms - history.entries[0].at_ms) / model.stale_after_ms)
    return model.absence_fresh + (model.absence_stale - model.absence_fresh) * stale
