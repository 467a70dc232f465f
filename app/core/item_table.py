"""What is known of each item, in arrays by item number, and the features that are the same for all users.

The features of all items are computed whenever popularity is reloaded, in steps between which answers are made, so
that an answer only looks them up.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.core.history import seen_hash
from app.core.item_features import (
    EVENTS,
    FREQUENCY,
    ITEM_FEATURES,
    NOT_POPULAR,
    POPULAR_MS,
    SUMS,
    USERS,
    ItemFeatures,
    have_events,
    longer,
    popularity_of,
)
from app.core.item_index import ItemIndex, Numbers
from app.core.model import Model
from app.core.neighbours import PairSums, Values

_LEAST_ROOM: Final = 1_024
# Of so many items the features take a millisecond.
_ITEMS_A_STEP: Final = 4_096
_MAX_ROW: Final = np.iinfo(np.int32).max
# Versions that serve at the same time: one, and those of variants.
_MAX_WEIGHTS: Final = 32


class Scored(NamedTuple):
    """`scores`: the part of the score that is the same for all users, by the rows of `weights` and by item number.
    `by_size`: for each size of history its weights and its row of the scores, as a ranking takes them.
    """

    weights: NDArray[np.float64]
    scores: NDArray[np.float32]
    by_size: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]


_Scores: TypeAlias = dict[int, Scored]
"""By the id of an array of weights, which is kept there, so that no other gets its id."""


class ItemTable:
    """Not thread-safe. `index` numbers the items; an item without sums has zeros.

    `refresh` computes what `ItemFeatures` says of each: `shares`, `features`, `prior` (what an item is worth to a user
    of whom nothing is known) and `own_repeats`. `hashes` are the items' `seen_hash`; `rows` is
    room for whoever adds up lists, in the rows of `take_rows`.
    """

    def __init__(self, index: ItemIndex, model: Model) -> None:
        """`model`: has the parameters that the sums were made with."""
        self.index = index
        self.model = model
        self.log_ms = 0
        """The time of the latest event: the log's clock."""
        self.latest_ms = 0
        """The same of what was read since this was set to 0."""
        self.version = 0
        """Rises whenever popularity has changed."""
        self._known = 0
        self._updates = 0
        self._refreshed: tuple[int, Model, int] | None = None
        self._meanwhile: list[Numbers] | None = None
        self._sums = np.zeros((0, len(SUMS)))
        self._scores: _Scores = {}
        self._used: set[int] = set()
        self._take(ItemFeatures(0, model))
        self.hashes = np.zeros(0, np.uint32)
        self.rows = np.zeros(0, np.int32)
        self.first_row = self._next_row = 1
        """The first of the rows that were taken last."""

    def update(self, numbers: Numbers, sums: NDArray[np.float64], *, most_ms: float = math.inf) -> None:
        """Replaces the sums of these items, a row of `SUMS` each. The log's clock is at most `most_ms` then: events
        that a wrong clock has dated ahead must not make all others old.
        """
        self.make_room()
        self._sums[numbers] = sums
        self._is_changed(numbers)
        latest_ms = sums[have_events(sums, self.model), POPULAR_MS].max(initial=0.0)
        self.latest_ms = max(self.latest_ms, int(min(latest_ms, most_ms)))
        self.log_ms = max(self.log_ms, self.latest_ms)

    def refresh(self, now_ms: int) -> None:
        """Computes the features of all items as of `now_ms`, unless nothing has changed."""
        for _ in self.refreshing(now_ms):
            pass

    def refreshing(self, now_ms: int) -> Iterator[None]:
        """As `refresh`, in steps of some thousand items: what is done between two of them sees what was before, until
        the last step. Not for two at the same time.
        """
        self.make_room()
        state = now_ms, self.model, self._updates
        if state == self._refreshed:
            return
        meanwhile: list[Numbers] = []
        self._meanwhile = meanwhile
        try:
            yield from self._steps(now_ms)
        finally:
            self._meanwhile = None
        self._refreshed = state
        self._fill(meanwhile)
        self.version += 1

    def _steps(self, now_ms: int) -> Iterator[None]:
        model, room = self.model, len(self._sums)
        known = self._sums[:, POPULAR_MS].nonzero()[0]
        parts = [known[start : start + _ITEMS_A_STEP] for start in range(0, len(known), _ITEMS_A_STEP)]
        popularities: list[NDArray[np.float64]] = []
        for part in parts:
            popularities.append(popularity_of(self._sums[part], now_ms, model))
            yield
        highest = np.max([NOT_POPULAR, *(one.max(axis=0) for one in popularities)], axis=0)
        made = ItemFeatures(room, model, now_ms, highest)
        scores = {
            key: _scored(weights, np.zeros((len(weights), room), np.float32))
            for key, (weights, *_) in self._scores.items()
            if key in self._used
        }
        for part, popularity in zip(parts, popularities, strict=True):
            made.fill(part, self._sums[part], popularity)
            _fill_scores(scores, part, made)
            yield
        if len(self._sums) > room:
            made.make_room(len(self._sums))
            scores = {}
        self._take(made)
        self._scores = scores
        self._used.clear()

    def refresh_some(self, numbers: Numbers) -> None:
        """Computes the features of these items alone, as of the last `refresh`."""
        self._fill([numbers])
        self.version += 1

    def _fill(self, numbers: Sequence[Numbers]) -> None:
        made = self._made
        for some in numbers:
            sums = self._sums[some]
            made.fill(some, sums, popularity_of(sums, made.now_ms, made.model))
            _fill_scores(self._scores, some, made)

    def _take(self, made: ItemFeatures) -> None:
        self._made = made
        self.shares, self.features = made.shares, made.features
        self.prior, self.own_repeats = made.prior, made.own_repeats

    def _is_changed(self, numbers: Numbers) -> None:
        self._updates += 1
        if self._meanwhile is not None:
            self._meanwhile.append(numbers)

    def scored(self, weights: NDArray[np.float64]) -> Scored:
        """Computed once for each array of weights until the next `refresh`, and then again for those that were used
        since the one before; the array must not change.
        """
        key = id(weights)
        found = self._scores.get(key)
        if found is None:
            if len(self._scores) == _MAX_WEIGHTS:
                self._scores.clear()
            found = self._scores[key] = _scored(weights, _scores_of(self.features, weights))
        self._used.add(key)
        return found

    def scores_of(self, numbers: Numbers, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """As a row of `Scored.scores`, for a row of weights that are still learned: of these items alone, by number."""
        scores = np.empty(len(self.features), np.float32)
        scores[numbers] = self.features.take(numbers, axis=0) @ weights[: len(ITEM_FEATURES)]
        return scores

    def take_rows(self, count: int) -> int:
        """The first of so many rows that nobody has had: all that stands in `rows` is below it."""
        self.first_row = self._next_row
        if self.first_row + count > _MAX_ROW:
            self.rows[:] = 0
            self.first_row = 1
        self._next_row = self.first_row + max(1, count)  # nobody else begins with this one
        return self.first_row

    def has_sums(self, item_id: str) -> bool:
        """False for an item that has a number alone: one of the catalogue's."""
        number = self.index.find(item_id)
        return number is not None and number < len(self._sums) and self._sums.item(number, EVENTS) > 0.0

    def sums(self, numbers: Numbers) -> NDArray[np.float64]:
        """The stored sums of these items, a row of `SUMS` each."""
        found: NDArray[np.float64] = self._sums[numbers]
        return found

    def pair_sums(self, numbers: NDArray[np.int32], weights: Values, met: Values, follows: Values) -> PairSums:
        """Of an item's pairs with these items."""
        others = self.sums(numbers)
        return PairSums(numbers, weights, met, follows, others[:, FREQUENCY], others[:, EVENTS], others[:, USERS])

    def popularity(self, numbers: Numbers) -> NDArray[np.float32]:
        """The popularity of these items by each half-life, in purchases, as of the last `refresh`: a row for each."""
        found: NDArray[np.float32] = (self.shares[numbers] * self._made.highest).astype(np.float32)
        return found

    def best(self, count: int, among: NDArray[np.int32] | None = None) -> NDArray[np.int32]:
        """The numbers of the `count` most popular items by each half-life, each number once, in ascending order."""
        found = [np.zeros(0, np.intp)]
        for shares in self.shares.T if among is None else self.shares[among].T:
            popular = shares.nonzero()[0]  # among many equal shares, as of those that are 0, partition is slow
            if len(popular) > count:
                popular = popular[np.argpartition(shares[popular], -count)[-count:]]
            found.append(popular)
        places = np.unique(np.concatenate(found))
        return places.astype(np.int32) if among is None else among[places]

    def most_popular(self, numbers: Numbers, count: int) -> list[NDArray[np.intp]]:
        """By half-life: the places in `numbers` of the `count` most popular, the most popular first; fewer where fewer
        are popular at all. Of equal ones the first.
        """
        found = []
        for shares in self.shares[numbers].T:
            popular = shares.nonzero()[0]
            values = shares[popular]
            if len(popular) > count:  # sorting 100,000 of them takes ten times as long
                most = values >= np.partition(values, len(values) - count)[len(values) - count]
                popular, values = popular[most], values[most]
            found.append(popular[np.argsort(-values, kind="stable")[:count]])
        return found

    def forget(self, numbers: Numbers) -> None:
        """Items that the index or the database has no more have no sums, and are nowhere among the best."""
        self.make_room()
        self._sums[numbers] = 0.0
        self._is_changed(numbers)
        self.refresh_some(numbers)

    def make_room(self) -> None:
        """Makes the arrays fit the items that the index has numbered since."""
        index, ids, known = self.index, self.index.ids, self._known
        if index.reused:
            self.hashes[index.reused] = [seen_hash(ids[number]) for number in index.reused]
            index.reused.clear()
        if len(ids) == known:
            return
        if (missing := len(ids) - len(self._sums)) > 0:
            more = max(missing, len(self._sums), _LEAST_ROOM)
            room = len(self._sums) + more
            self._sums, self.hashes = longer(self._sums, room), longer(self.hashes, room)
            self.rows = longer(self.rows, room)
            self._made.make_room(room)
            self._take(self._made)
            self._scores.clear()
        self.hashes[known : len(ids)] = [seen_hash(item_id) for item_id in ids[known:]]
        self._known = len(ids)


def _fill_scores(scores: _Scores, numbers: Numbers, made: ItemFeatures) -> None:
    features = made.features[numbers]
    for weights, found, _ in scores.values():
        found[:, numbers] = _scores_of(features, weights)


def _scored(weights: NDArray[np.float64], scores: NDArray[np.float32]) -> Scored:
    rows: NDArray[np.float32] = weights.astype(np.float32)
    return Scored(weights, scores, [(rows[size], scores[size]) for size in range(len(rows))])


def _scores_of(features: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """Column by column: a product of matrices rounds by their shapes, and equal items would have unequal scores."""
    scores = np.zeros((len(weights), len(features)), np.float32)
    for column in range(len(ITEM_FEATURES)):
        scores += weights[:, column, None].astype(np.float32) * features[:, column]
    return scores
