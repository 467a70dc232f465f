"""The features of items that are the same for all users, by item number, computed from the items' sums."""

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.core.item_index import Numbers
from app.core.model import Model
from app.core.signals import DAY_MS, LANDMARK_MS, decay_factor

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

POPULAR_MS: Final = SUMS.index("popular_ms")
FREQUENCY: Final = SUMS.index("frequency")
EVENTS: Final = SUMS.index("events")
USERS: Final = SUMS.index("users")

_REPEAT_WEIGHT: Final = SUMS.index("repeat_weight")
_FIRST_MS: Final = SUMS.index("first_ms")
_POPULARITY: Final = slice(SUMS.index("popular_hours"), SUMS.index("popular_week") + 1)
_HALF_LIVES: Final = _POPULARITY.stop - _POPULARITY.start
_ROUNDED: Final = 1e-6
_SHARE_SCALE: Final = 100.0
_NEW_FOR_DAYS: Final = 2.0
# Pseudo-events without a repeat: an item comes again only if users were seen to come back to it.
_REPEAT_EVIDENCE: Final = 5.0
_REPEATS_SCALE: Final = 50.0

_N = TypeVar("_N", bound=np.generic)

NOT_POPULAR: Final = np.full(_HALF_LIVES, 1e-9)
"""The least that `ItemFeatures` takes for the highest popularity."""


def have_events(sums: NDArray[np.float64], model: Model) -> NDArray[np.bool_]:
    """Whether something is left of the items' events, from a row of `SUMS` for each: not where all were taken back, as
    those of a smoke test are. Of these, rounding leaves less than a millionth of an event.
    """
    half_lives = (sums[:, POPULAR_MS] - LANDMARK_MS) / model.covisitation_half_life_ms
    found: NDArray[np.bool_] = (sums[:, USERS] > 0.0) | (sums[:, EVENTS] * np.exp2(-half_lives) > _ROUNDED)
    return found


def popularity_of(sums: NDArray[np.float64], now_ms: int, model: Model) -> NDArray[np.float64]:
    """The popularity of items by each half-life, in purchases, from a row of `SUMS` for each."""
    ages = np.maximum(now_ms - sums[:, POPULAR_MS], 0.0)
    half_lives = np.array(model.popularity_half_lives_ms, np.float64)
    popularity = sums[:, _POPULARITY] * np.exp2(-ages[:, None] / half_lives)
    return np.where(have_events(sums, model)[:, None], np.maximum(popularity, 0.0), 0.0)


class ItemFeatures:
    """As of a time, by the popularity of the most popular item; zeros for an item that was not filled in.

    `shares`: popularity by half-life as a share of the highest, 0 to 1. `features`: `ITEM_FEATURES`. `prior`: the
    square root of the share by the week. `own_repeats`: how often the item's events are repeats, log-scaled; 0 without
    evidence.
    """

    __slots__ = ("features", "highest", "model", "now_ms", "own_repeats", "prior", "shares")

    def __init__(self, room: int, model: Model, now_ms: int = 0, highest: NDArray[np.float64] = NOT_POPULAR) -> None:
        """`highest`: by half-life."""
        self.now_ms = now_ms
        self.model = model
        self.highest = highest
        self.shares = np.zeros((room, _HALF_LIVES), np.float32)
        self.features = np.zeros((room, len(ITEM_FEATURES)), np.float32)
        self.prior = np.zeros(room, np.float32)
        self.own_repeats = np.zeros(room, np.float32)

    def fill(self, numbers: Numbers, sums: NDArray[np.float64], popularity: NDArray[np.float64]) -> None:
        """Computes what is known of these items."""
        now_ms, factor = self.now_ms, decay_factor(self.now_ms, self.model.covisitation_half_life_ms)
        known = sums[:, EVENTS] > 0.0
        shares = np.minimum(popularity / self.highest, 1.0).astype(np.float32)
        self.shares[numbers] = shares
        self.prior[numbers] = np.sqrt(shares[:, -1])
        # What was taken back may weigh more than it did when it was counted.
        frequency, events = np.maximum(sums[:, FREQUENCY], 0.0), np.maximum(sums[:, EVENTS], 0.0) * factor
        rates = np.divide(sums[:, _REPEAT_WEIGHT], frequency, out=np.zeros(len(sums)), where=frequency > 0.0)
        rates = np.clip(rates, 0.0, 1.0) * (events / (events + _REPEAT_EVIDENCE))
        self.own_repeats[numbers] = np.log1p(_REPEATS_SCALE * rates)
        days = np.where(known, np.maximum(now_ms - sums[:, _FIRST_MS], 0.0) / DAY_MS, 0.0)
        features = np.empty((len(sums), len(ITEM_FEATURES)), np.float32)
        features[:, 0:_HALF_LIVES] = np.log1p(_SHARE_SCALE * shares)
        features[:, 3] = np.log1p(frequency * factor)
        features[:, 4] = np.log1p(days)
        features[:, 5] = np.where(known, np.exp(-days / _NEW_FOR_DAYS), 0.0)
        self.features[numbers] = features

    def make_room(self, room: int) -> None:
        self.shares, self.features = longer(self.shares, room), longer(self.features, room)
        self.prior, self.own_repeats = longer(self.prior, room), longer(self.own_repeats, room)


def longer(array: NDArray[_N], room: int) -> NDArray[_N]:
    """With zeros behind its rows, so that there are so many."""
    return np.concatenate([array, np.zeros((room - len(array), *array.shape[1:]), array.dtype)])
