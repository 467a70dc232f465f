"""From a user's history, its items' lists and what is popular, to candidates and their features.

Two stages: lists of candidates are added up, and a cheap bound chooses some hundreds of them; those get all features
and a score, the weighted sum (`app.core.weights`). The lists are added term at a time (J. Zobel, A. Moffat, "Inverted
Files for Text Search Engines", ACM Computing Surveys 38(2), 2006), in an array as long as the lists, so that the cost
does not depend on the size of the catalogue.
"""

from collections.abc import Mapping, Sequence
from math import exp, log1p
from typing import Final

import numpy as np
from msgspec import Struct
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
_SCALES: Final = np.array([20.0, 20.0, 20.0, 20.0, 50.0, 50.0])[:, None]
_REPEATS_SCALE: Final = 50.0
# The bound is a rough score: it decides which candidates are looked at, not which are best.
_BOUND_FOLLOWING: Final = 2.0
_BOUND_POPULAR: Final = 0.2
_BOUND_OWN: Final = 1.0


class Features(Struct, frozen=True):
    """Candidates: their item numbers, and a row of `FEATURES` for each."""

    numbers: NDArray[np.int32]
    values: NDArray[np.float32]


class Lists:
    """What a user's lists say of each item that stands in one of them. `best` has the features of the best of them."""

    __slots__ = ("_absence", "_now_ms", "_numbers", "_own", "_own_places", "_places", "_profile", "_sums", "_table")

    def __init__(
        self, profile: Profile, neighbours: Mapping[str, Neighbours], popular: bytes, table: ItemTable, *, now_ms: int
    ) -> None:
        """`neighbours`: of the profile's seeds. `popular`: item numbers (int32). `now_ms`: of the log's clock."""
        model, find = profile.model, table.index.find
        table.make_room()
        self._profile, self._table, self._now_ms = profile, table, now_ms
        self._absence = absence(profile.history, now_ms, model)
        near = [neighbours.get(seed.item_id, NO_NEIGHBOURS) for seed in profile.seeds]
        then = near[: model.following_seeds]
        own = [(number, entry) for item_id, entry in profile.latest.items() if (number := find(item_id)) is not None]
        self._own = [entry for _, entry in own]
        own_numbers = np.fromiter((number for number, _ in own), np.int32, len(own)).tobytes()
        lists = [popular, own_numbers, *[one.numbers for one in near], *[one.followers for one in then]]
        numbers = self._numbers = np.frombuffer(b"".join(lists), np.int32)
        # An item is added up at the last of its places in the joined lists, which a scratch array by item number finds.
        places = np.arange(len(numbers), dtype=np.int32)
        table.places[numbers] = places
        added_at = table.places[numbers]
        self._places = np.flatnonzero(added_at == places)
        own_from = len(popular) // _BYTES
        near_from = own_from + len(own)
        then_from = near_from + sum([len(one.numbers) for one in near]) // _BYTES
        self._own_places = added_at[own_from:near_from]
        sums = self._sums = np.zeros((len(NEIGHBOUR_FEATURES), len(numbers)))
        if near:
            at_near, at_then = added_at[near_from:then_from], added_at[then_from:]
            _add_similarities(sums, near, at_near, profile, now_ms)
            _add_following(sums, then, at_then, profile)

    @property
    def own_numbers(self) -> list[int]:
        """The numbers of the user's items that the history holds."""
        found: list[int] = self._numbers[self._own_places].tolist()
        return found

    def best(self, count: int, without: Sequence[int] = ()) -> Features:
        """The features of the `count` candidates with the highest bound, or of all. `without`: item numbers."""
        numbers, table, sums = self._numbers, self._table, self._sums
        bound = sums[_SIMILAR] + _BOUND_FOLLOWING * sums[_FOLLOWING]
        bound += self._absence * table.prior[numbers]
        bound += _BOUND_POPULAR * table.momentum[numbers]
        bound[self._own_places] += _BOUND_OWN
        if without:
            bound[np.isin(numbers, without)] = 0.0
        places = self._places
        bounds = bound[places]
        least = 0.0
        if len(places) > count:
            least = max(least, np.partition(bounds, len(bounds) - count)[len(bounds) - count])
        chosen = places[bounds >= least if least > 0.0 else bounds > 0.0]
        found = numbers[chosen]
        values = np.empty((len(chosen), len(FEATURES)), np.float32)
        values[:, FROM_ITEM] = table.features[found]
        values[:, FROM_NEIGHBOURS] = np.log1p(sums[:, chosen] * _SCALES).T
        values[:, FROM_OWN] = self._own_features(chosen, found)
        values[:, ABSENCE] = self._absence * table.prior[found]
        return Features(found, values)

    def _own_features(self, chosen: NDArray[np.intp], found: NDArray[np.int32]) -> NDArray[np.float32]:
        values = np.zeros((len(chosen), len(OWN_FEATURES)), np.float32)
        history = self._profile.history
        if not history.entries:
            return values
        if history.seen_hashes:
            # What the user had before is not among the entries any more, so it is older than all of them.
            seen = set(history.seen_hashes)
            had = np.array([hashed in seen for hashed in self._table.hashes[found].tolist()], np.bool_)
            values[had, :3] = 1.0, log1p(1.0), log1p(max(0, self._now_ms - history.entries[-1].at_ms) / HOUR_MS)
        row_of = np.full(len(self._numbers), -1)
        row_of[chosen] = np.arange(len(chosen))
        rows = row_of[self._own_places]
        there = rows >= 0
        times = np.array([_times(entry, self._now_ms) for entry in self._own])
        hours = np.array([max(0, self._now_ms - entry.at_ms) for entry in self._own]) / HOUR_MS
        values[rows[there], 0] = 1.0
        values[rows[there], 1] = np.log1p(times[there])
        values[rows[there], 2] = np.log1p(hours[there])
        had = values[:, 0] > 0.0
        values[had, 3] = np.log1p(_REPEATS_SCALE * self._table.repeat_rates[found[had]])
        return values


_SIMILAR, _LAST, _VISIT, _LASTING, _FOLLOWING, _FOLLOWING_LAST = range(len(NEIGHBOUR_FEATURES))


def _times(entry: Entry, now_ms: int) -> float:
    """How often the user did this with the item: once, and the others as they have decayed."""
    if not entry.other_weight or not entry.weight:
        return 1.0
    by_ms = max(0, now_ms - entry.at_ms)
    return 1.0 + max(0.0, decayed(entry.other_weight / entry.weight, by_ms, POPULARITY_HALF_LIFE_MS))


def absence(history: History, now_ms: int, model: Model) -> float:
    """What the most popular item's popularity weighs for the user: more, the longer they have been away."""
    if not history.entries:
        return model.absence_stale
    stale = 1.0 - exp(-max(0, now_ms - history.entries[0].at_ms) / model.stale_after_ms)
    return model.absence_fresh + (model.absence_stale - model.absence_fresh) * stale


def _add_similarities(
    sums: NDArray[np.float64], near: Sequence[Neighbours], at: NDArray[np.int32], profile: Profile, now_ms: int
) -> None:
    count = sums.shape[1]
    lengths = [len(one.similarities) // _BYTES for one in near]
    similarities = np.frombuffer(b"".join([one.similarities for one in near]), np.float32)
    weights = np.fromiter(profile.weights, np.float32, len(near)).repeat(lengths)
    sums[_SIMILAR] = np.bincount(at, similarities * weights, count)
    sums[_LAST, at[: lengths[0]]] = similarities[: lengths[0]]
    visit = sum(length for seed, length in zip(profile.seeds, lengths, strict=True) if now_ms - seed.at_ms < HOUR_MS)
    if visit:
        sums[_VISIT] = np.bincount(at[:visit], similarities[:visit], count)
    lasting = np.frombuffer(b"".join([one.lasting for one in near]), np.float32)
    sums[_LASTING] = np.bincount(at, lasting, count) / len(near)


def _add_following(
    sums: NDArray[np.float64], then: Sequence[Neighbours], at: NDArray[np.int32], profile: Profile
) -> None:
    lengths = [len(one.following) // _BYTES for one in then]
    following = np.frombuffer(b"".join([one.following for one in then]), np.float32)
    weights = np.fromiter(profile.weights[: len(then)], np.float32, len(then)).repeat(lengths)
    sums[_FOLLOWING] = np.bincount(at, following * weights, sums.shape[1])
    sums[_FOLLOWING_LAST, at[: lengths[0]]] = following[: lengths[0]]
