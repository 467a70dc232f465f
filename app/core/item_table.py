"""What is known of each item, in arrays by item number, and the features that are the same for all users.

The features of all items are computed in a few operations whenever popularity is reloaded, so that an answer only
looks them up.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.core.history import seen_hash
from app.core.item_index import ItemIndex, Numbers
from app.core.model import Model
from app.core.neighbours import PairSums, Values
from app.core.signals import DAY_MS, decay_factor

ITEM_FEATURES: Final = ("popular_hours", "popular_day", "popular_week", "frequency", "age", "newness")
"""Popularity by half-life as a share of the highest, log-scaled; the logarithm of the frequency, and of the days since
the item's first event; and 1 for an item that has just come, falling to a third in two days."""

SUMS: Final = (
    "popular_ms",
    "popular_hours",
    "popular_day",
    "popular_week",
    "frequency",
    "repeat_weight",
    "events",
    "users",
    "first_ms",
)
"""The columns of an item's sums: see `app.core.features.ItemDelta`."""

_FREQUENCY, _EVENTS, _USERS = SUMS.index("frequency"), SUMS.index("events"), SUMS.index("users")
_POPULAR_MS, _POPULARITY, _REPEAT_WEIGHT, _FIRST_MS = 0, slice(1, 4), SUMS.index("repeat_weight"), len(SUMS) - 1
_SHARE_SCALE: Final = 100.0
_NEW_FOR_DAYS: Final = 2.0
# Pseudo-events without a repeat: an item comes again only if users were seen to come back to it.
_REPEAT_EVIDENCE: Final = 5.0
_REPEATS_SCALE: Final = 50.0
_ALMOST_NOTHING: Final = 1e-9
_LEAST_ROOM: Final = 1024
_MAX_ROW: Final = np.iinfo(np.int32).max
# Versions that serve at the same time: one, and those of variants.
_MAX_WEIGHTS: Final = 32


class ItemTable:
    """Not thread-safe. `index` numbers the items; an item without sums has zeros.

    `refresh` computes, by item number: `shares` (popularity by half-life as a share of the highest, 0 to 1),
    `features` (`ITEM_FEATURES`), `prior` (the square root of the share by the week: what an item is worth to a user of
    whom nothing is known) and `own_repeats` (how often its events are repeats, log-scaled; 0 without evidence).
    `hashes` are the items' `seen_hash`; `rows` is room for whoever adds up lists, in the rows of `take_rows`.
    """

    def __init__(self, index: ItemIndex, model: Model) -> None:
        """`model`: has the parameters that the sums were made with."""
        self.index = index
        self.model = model
        self.log_ms = 0
        """The time of the latest event: the log's clock."""
        self.version = 0
        """Rises whenever popularity has changed."""
        self._known = 0
        self._updates = 0
        self._refreshed: tuple[int, Model, int] | None = None
        self._highest = np.zeros(_POPULARITY.stop - _POPULARITY.start)
        self._sums = np.zeros((0, len(SUMS)))
        self._scores: dict[int, tuple[NDArray[np.float64], NDArray[np.float32]]] = {}
        self.shares = np.zeros((0, _POPULARITY.stop - _POPULARITY.start), np.float32)
        self.features = np.zeros((0, len(ITEM_FEATURES)), np.float32)
        self.prior = np.zeros(0, np.float32)
        self.own_repeats = np.zeros(0, np.float32)
        self.hashes = np.zeros(0, np.uint32)
        self.rows = np.zeros(0, np.int32)
        self.first_row = self._next_row = 1
        """The first of the rows that were taken last."""

    def update(self, numbers: Numbers, sums: NDArray[np.float64]) -> None:
        """Replaces the sums of these items, a row of `SUMS` each."""
        self.make_room()
        self._sums[numbers] = sums
        self._updates += 1
        self.log_ms = max(self.log_ms, int(sums[:, _POPULAR_MS].max(initial=0.0)))

    def refresh(self, now_ms: int) -> None:
        """Computes the features of all items as of `now_ms`, unless nothing has changed."""
        self.make_room()
        state = now_ms, self.model, self._updates
        if state == self._refreshed:
            return
        self._refreshed = state
        sums, factor = self._sums, decay_factor(now_ms, self.model.covisitation_half_life_ms)
        known = sums[:, _EVENTS] > 0.0
        ages = np.maximum(now_ms - sums[:, _POPULAR_MS], 0.0)
        half_lives = np.array(self.model.popularity_half_lives_ms, np.float64)
        popularity = np.maximum(sums[:, _POPULARITY] * np.exp2(-ages[:, None] / half_lives), 0.0)
        highest = np.maximum(popularity.max(axis=0, initial=0.0), _ALMOST_NOTHING)
        self._highest = highest
        self.shares = (popularity / highest).astype(np.float32)
        self.prior = np.sqrt(self.shares[:, -1])
        frequency, events = sums[:, _FREQUENCY], sums[:, _EVENTS] * factor
        rates = np.divide(sums[:, _REPEAT_WEIGHT], frequency, out=np.zeros(len(sums)), where=frequency > 0.0)
        rates *= events / (events + _REPEAT_EVIDENCE)
        self.own_repeats = np.log1p(_REPEATS_SCALE * rates).astype(np.float32)
        days = np.where(known, np.maximum(now_ms - sums[:, _FIRST_MS], 0.0) / DAY_MS, 0.0)
        features = np.empty_like(self.features)
        features[:, 0:3] = np.log1p(_SHARE_SCALE * self.shares)
        features[:, 3] = np.log1p(frequency * factor)
        features[:, 4] = np.log1p(days)
        features[:, 5] = np.where(known, np.exp(-days / _NEW_FOR_DAYS), 0.0)
        self.features = features
        self.version += 1
        self._scores.clear()

    def scores(self, weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """The part of the score that is the same for all users, by the rows of `weights` and by item number.

        Computed once for each array of weights until the next `refresh`; the array must not change.
        """
        found = self._scores.get(id(weights))
        if found is None:
            if len(self._scores) == _MAX_WEIGHTS:
                self._scores.clear()
            scores: NDArray[np.float32] = weights[:, : len(ITEM_FEATURES)].astype(np.float32) @ self.features.T
            # With the weights, so that no others get their id.
            found = self._scores[id(weights)] = weights, scores
        return found[1]

    def scores_of(self, numbers: Numbers, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """As a row of `scores`, for a row of weights that are still learned: of these items alone, by item number."""
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
        return number is not None and number < len(self._sums) and self._sums.item(number, _EVENTS) > 0.0

    def sums(self, numbers: Numbers) -> NDArray[np.float64]:
        """The stored sums of these items, a row of `SUMS` each."""
        found: NDArray[np.float64] = self._sums[numbers]
        return found

    def pair_sums(self, numbers: NDArray[np.int32], weights: Values, met: Values, follows: Values) -> PairSums:
        """Of an item's pairs with these items."""
        others = self.sums(numbers)
        return PairSums(numbers, weights, met, follows, others[:, _FREQUENCY], others[:, _EVENTS], others[:, _USERS])

    def popularity(self, numbers: Numbers) -> NDArray[np.float32]:
        """The popularity of these items by each half-life, in purchases, as of the last `refresh`: a row for each."""
        found: NDArray[np.float32] = (self.shares[numbers] * self._highest).astype(np.float32)
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
        """Items that the index has forgotten have no sums, and are nowhere among the best."""
        self.make_room()
        self._sums[numbers] = 0.0
        self._updates += 1
        for array in (self.shares, self.features, self.prior, self.own_repeats):
            array[numbers] = 0.0
        self.version += 1
        self._scores.clear()

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
            for name in ("_sums", "shares", "features", "prior", "own_repeats", "hashes", "rows"):
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, np.zeros((more, *array.shape[1:]), array.dtype)]))
            self._scores.clear()
        self.hashes[known : len(ids)] = [seen_hash(item_id) for item_id in ids[known:]]
        self._known = len(ids)
