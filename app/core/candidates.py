"""From a user's history, its items' lists and what is popular, to candidates and their features.

Everything that stands in one of the user's lists is a candidate. What the lists say of it is added up term at a time
(J. Zobel, A. Moffat, "Inverted Files for Text Search Engines", ACM Computing Surveys 38(2), 2006), in arrays as long as
there are candidates, so that the cost does not depend on the size of the catalogue.
"""

from array import array
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import compress, repeat
from math import exp, log1p
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.core.accumulators import (
    LEAST_WORDS,
    WORD_BYTES,
    Values,
    carried_by,
    gather,
    score,
)
from app.core.content_index import ContentIndex
from app.core.history import Entry, seen_hash
from app.core.item_index import Numbers
from app.core.item_table import ItemTable
from app.core.model import Model
from app.core.neighbours import NO_NEIGHBOURS, Neighbours
from app.core.profile import Profile
from app.core.ranked import Rows
from app.core.signals import HOUR_MS, decayed
from app.core.weights import (
    ABSENCE,
    CONTENT_FEATURES,
    FEATURES,
    FROM_CONTENT,
    FROM_ITEM,
    FROM_NEIGHBOURS,
    FROM_OWN,
    NEIGHBOUR_FEATURES,
    OWN_FEATURES,
)

LEAST_OWN: Final = -2.0
"""Where having an item already makes it less than 0.14 times as likely (exp(-2)), the user does not get it again,
however few other items there are."""

_LEAST_COUNT: Final = 20
_ONCE: Final = log1p(1.0)
_LONG_AGO_HOURS: Final = 365 * 24.0


class Candidates:
    """The candidates of one user: their item `numbers` (each once), and what is known of each.

    `own_rows` are the places of the user's own items among them.
    """

    __slots__ = (
        *("_absence", "_content", "_first", "_item_features", "_lists", "_own", "_prior", "_profile", "_table"),
        *("numbers", "own_rows"),
    )

    def __init__(
        self,
        profile: Profile,
        neighbours: Mapping[str, Neighbours],
        popular: bytes,
        table: ItemTable,
        *,
        now_ms: int,
        content: ContentIndex | None = None,
    ) -> None:
        """`neighbours`: of the profile's seeds. `popular`: item numbers (int32). `now_ms`: of the log's clock.
        `content`: of the catalogue.
        """
        table.make_room()
        model = profile.model
        self._table = table
        # As the scores will be made of: an explanation comes later, and the table may have others by then.
        self._item_features, self._prior = table.features, table.prior
        self._profile = profile
        self._absence = absence(profile.entries, now_ms, model)
        numbers = table.index.numbers(profile.latest)
        # The user's own items stand first, so their rows are their places.
        alone = [array("i", numbers).tobytes(), popular]
        cold = None if content is None else content.candidates(profile)
        if cold is not None:
            alone.append(cold.numbers.tobytes())
        near = list(map(neighbours.get, profile.seed_ids, repeat(NO_NEIGHBOURS)))
        lists = [one.neighbours for one in near]
        then = [one.followers for one in near[: model.following_seeds]]
        lists += then
        words = np.frombuffer(bytearray().join(alone + lists), np.int32)
        before = sum(map(len, alone)) // WORD_BYTES
        most = before + (len(words) - before) // LEAST_WORDS
        facts = profile.weights + self._own_facts(profile, numbers, now_ms)
        found, sums = np.empty(most, np.int32), np.empty((most, len(NEIGHBOUR_FEATURES)), np.float32)
        self._own = np.empty((len(numbers), len(OWN_FEATURES)), np.float32)
        self._first = table.take_rows(most)
        count = gather(
            words,
            before,
            len(near),
            len(then),
            np.frombuffer(facts),
            neighbour_limits(model.neighbours, model.recency, model.seeds),
            table.own_repeats,
            now_ms,
            table.rows,
            self._first,
            found,
            sums,
            self._own,
        )
        self.numbers, self._lists = found[:count], sums[:count]
        self._content = None if cold is None else (table.rows.take(cold.numbers) - self._first, cold.features)
        if profile.turns_away:  # an item that was given up speaks against its neighbours
            self._lists = np.copysign(np.log1p(np.abs(self._lists)), self._lists)
        else:
            np.log1p(self._lists, out=self._lists)
        self.own_rows = _first_rows(len(numbers))
        if profile.seen_hashes:
            self._add_earlier(profile, now_ms)

    def _own_facts(self, profile: Profile, numbers: Sequence[int], now_ms: int) -> "array[float]":
        """When the user did something with each of the own items, and how often, log-scaled."""
        at_ms, times = profile.times, array("d", (_ONCE,)) * len(profile.times)
        for place, entry in profile.repeated:
            times[place] = _times(entry, now_ms, self._table.model.weekly_half_life_ms)
        if len(numbers) < len(times):  # some have no number: nobody did anything with them that counts
            there = [self._table.index.find(item_id) is not None for item_id in profile.latest]
            at_ms, times = array("d", compress(at_ms, there)), array("d", compress(times, there))
        return at_ms + times

    def scores(self, weights: Values, item_scores: Values, *, least_own: float = LEAST_OWN) -> Values:
        """The weighted sum of each candidate's features; minus infinity for an item of the user's own whose own part of
        it is less than `least_own`. `weights`: for the user's size of history. `item_scores`: by item number, the part
        of the features that are the same for all users (`Scored.scores`).
        """
        found = np.empty(len(self.numbers), np.float32)
        score(
            self.numbers,
            item_scores,
            self._prior,
            self._lists,
            self.own_rows,
            self._own,
            weights,
            weights[ABSENCE] * self._absence,
            least_own,
            found,
        )
        if self._content is not None:
            cold, content = self._content
            found[cold] += content @ weights[FROM_CONTENT]
        return found

    def features(self, rows: Sequence[int] | NDArray[np.signedinteger] | slice = slice(None)) -> Values:
        """A row of `FEATURES` for each of these candidates."""
        found = self.numbers[rows]
        values = np.empty((len(found), len(FEATURES)), np.float32)
        values[:, FROM_ITEM] = self._item_features[found]
        values[:, FROM_NEIGHBOURS] = self._lists[rows]
        own = np.zeros((len(self.numbers), len(OWN_FEATURES)), np.float32)
        own[self.own_rows] = self._own
        values[:, FROM_OWN] = own[rows]
        values[:, ABSENCE] = self._absence * self._prior[found]
        values[:, FROM_CONTENT] = self._content_features()[rows]
        return values

    def rows_of(self, numbers: Sequence[int] | Numbers) -> NDArray[np.int32]:
        """The rows of those of these items that are candidates."""
        table = self._table
        table.make_room()
        if table.first_row != self._first:  # another answer has had the room since
            count = len(self.numbers)
            self._first = table.take_rows(count)
            table.rows[self.numbers] = np.arange(self._first, self._first + count)
        found = table.rows.take(np.array(numbers, np.intp)) - self._first
        there: NDArray[np.int32] = found[found >= 0]
        return there

    def row_of(self, item_id: str) -> int | None:
        """The row of the item; None: it is not a candidate."""
        number = self._table.index.find(item_id)
        rows: list[int] = [] if number is None else self.rows_of([number]).tolist()
        return rows[0] if rows else None

    def ended_rows(self) -> NDArray[np.intp]:
        """The rows of items that the user is not offered again."""
        profile = self._profile
        if not profile.ended and not profile.ended_hashes:
            return np.zeros(0, np.intp)
        hashes = [*map(seen_hash, profile.ended), *profile.ended_hashes]
        return np.isin(self._table.hashes[self.numbers], np.array(hashes, np.uint32)).nonzero()[0]

    def choice(self, item_id: str) -> tuple[Values, int] | None:
        """The features of what the user may be offered, and which row is this item's; None: it is none of them."""
        row = self.row_of(item_id)
        offered = np.ones(len(self.numbers), np.bool_)
        offered[self.ended_rows()] = False
        if row is None or not offered[row]:
            return None
        return self.features(offered.nonzero()[0]), int(np.count_nonzero(offered[:row]))

    def carried_by(self, rows: Rows, weights: Values, scores: Values) -> list[int]:
        """What carried these candidates to their `scores`, as `accumulators.carried_by` says it."""
        found = np.empty(len(rows), np.int64)
        carried_by(np.asarray(rows, np.int64), self._lists, self.own_rows, weights, scores, found)
        carried: list[int] = found.tolist()
        return carried

    def led_by_content(self, rows: Rows, weights: Values, scores: Values) -> Sequence[int]:
        """The places among `rows` of those candidates that their content carried to their `scores`."""
        if self._content is None:
            return ()
        content = self._content_features().take(rows, axis=0) @ weights[FROM_CONTENT]
        lists = self._lists.take(rows, axis=0) @ weights[FROM_NEIGHBOURS]
        led = content > np.maximum(scores.take(rows) - content, np.maximum(lists, 0.0))
        found: list[int] = led.nonzero()[0].tolist()
        return found

    def _content_features(self) -> Values:
        found = np.zeros((len(self.numbers), len(CONTENT_FEATURES)), np.float32)
        if self._content is not None:
            cold, content = self._content
            found[cold] = content
        return found

    def _add_earlier(self, profile: Profile, now_ms: int) -> None:
        """What the user had before is not among the entries any more, so it is older than all of them."""
        had = np.isin(self._table.hashes[self.numbers], np.array(profile.seen_hashes, np.uint32))
        had[self.own_rows] = False
        rows = had.nonzero()[0]
        if len(rows):
            # All entries may have been taken back: then nothing says how long ago that was.
            hours = max(0, now_ms - profile.entries[-1].at_ms) / HOUR_MS if profile.entries else _LONG_AGO_HOURS
            values = np.ones((len(rows), len(OWN_FEATURES)), np.float32)
            values[:, 1] = _ONCE
            values[:, 2] = log1p(hours)
            values[:, 3] = self._table.own_repeats.take(self.numbers.take(rows))
            self.own_rows = np.concatenate([self.own_rows, rows])
            self._own = np.concatenate([self._own, values])


def _times(entry: Entry, now_ms: int, half_life_ms: int) -> float:
    """How often the user did this with the item, log-scaled: once, and the others as they have decayed."""
    if not entry.weight:
        return _ONCE
    by_ms = max(0, now_ms - entry.at_ms)
    others = decayed(entry.other_weight / entry.weight, by_ms, half_life_ms)
    return log1p(max(0.0, 1.0 + others))


@cache
def _first_rows(count: int) -> NDArray[np.int64]:
    """From 0. Nobody changes it."""
    return np.arange(count)


@cache
def neighbour_limits(neighbours: int, recency: float, seeds: int) -> NDArray[np.int32]:
    """How many of the neighbours of each seed are looked at: an older item weighs less, and gives fewer.

    They are fewer by the sixth root of the weight, since what lasts (`lasting`) is as good from an old item as from a
    new one.
    """
    limits = [max(_LEAST_COUNT, round(neighbours * recency ** (place / 6))) for place in range(seeds)]
    return np.array(limits, np.int32)


def absence(entries: Sequence[Entry], now_ms: int, model: Model) -> float:
    """What the most popular item's popularity weighs for the user: more, the longer they have been away."""
    if not entries:
        return model.absence_stale
    stale = 1.0 - exp(-max(0, now_ms - entries[0].at_ms) / model.stale_after_ms)
    return model.absence_fresh + (model.absence_stale - model.absence_fresh) * stale
