"""What is compared on a log: weights that are learned and weights that are not, and changes of either."""

from typing import Final, TypeAlias

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from app.core.learning import RATE
from app.core.model import MODEL, Model
from app.core.paired_learner import PairedLearner, learn_paired, paired_from
from app.core.signals import DAY_MS, HOUR_MS
from app.core.weights import FEATURES, FIXED, POPULARITY, START, Weights

LEARNED: Final = "learned"
FIXED_WEIGHTS: Final = "fixed weights"
POPULAR: Final = "popularity, half-life 8 days"

_LOWER, _HIGHER = 0.5, 2.0


class Ranker(Struct):
    """Weights that rank. `learning_rate`: 0 for those that stay as they are. `factors`: what the weights of each
    feature are multiplied by, for the ranking alone. `without`: the column of a feature that weighs nothing, also while
    the others are learned.
    """

    learner: PairedLearner
    learning_rate: float = 0.0
    factors: NDArray[np.float64] | None = None
    without: int | None = None

    @property
    def weights(self) -> Weights:
        weights = self.learner.weights
        return weights if self.factors is None else weights * self.factors

    def learn(self, features: NDArray[np.float32], chosen: int, size: int, stands_for: float) -> None:
        """As `learning.learn`, with both paces."""
        if self.learning_rate:
            learn_paired(self.learner, features, chosen, size, rate=self.learning_rate, stands_for=stands_for)
        if self.without is not None:
            for one in (self.learner.steady, self.learner.quick):
                one.weights[:, self.without] = 0.0


def unchanged(weights: Weights) -> Ranker:
    return Ranker(paired_from(weights))


def learning(rate: float = RATE) -> Ranker:
    """As production learns."""
    return Ranker(paired_from(START), rate)


def standard() -> dict[str, Ranker]:
    return {LEARNED: learning(), FIXED_WEIGHTS: unchanged(FIXED), POPULAR: unchanged(POPULARITY)}


def ablated() -> dict[str, Ranker]:
    """Learned weights, each without one of the features."""
    found = {}
    for column, name in enumerate(FEATURES):
        start = START.copy()
        start[:, column] = 0.0
        found[f"without {name}"] = Ranker(paired_from(start), RATE, without=column)
    return found


def varied(learned: Ranker) -> dict[str, Ranker]:
    """The learned weights, with those of one feature halved and doubled; and lower and higher learning rates."""
    found = {}
    for column, name in enumerate(FEATURES):
        for factor in (_LOWER, _HIGHER):
            factors = np.ones(len(FEATURES))
            factors[column] = factor
            found[f"{name} × {factor:g}"] = Ranker(learned.learner, factors=factors)
    for rate in (0.3 * RATE, 3.0 * RATE):
        found[f"learning rate {rate:g}"] = learning(rate)
    return found


_Value: TypeAlias = float | tuple[int, int, int]

_SIDES: Final[dict[str, tuple[_Value, _Value]]] = {
    "covisitation_half_life_ms": (60 * DAY_MS, 360 * DAY_MS),
    "popularity_half_lives_ms": ((HOUR_MS, DAY_MS // 2, 4 * DAY_MS), (4 * HOUR_MS, 2 * DAY_MS, 16 * DAY_MS)),
    "user_linear": (2.0, 8.0),
    "pair_window": (10, 40),
    "pair_distance": (2.5, 10.0),
    "repeat_gap_ms": (HOUR_MS, 24 * HOUR_MS),
    "seed_power": (0.3, 0.5),
    "candidate_power": (0.5, 0.7),
    "shrinkage": (1.0, 4.0),
    "neighbours": (100, 400),
    "followers": (30, 120),
    "seeds": (10, 40),
    "following_seeds": (1, 10),
    "popular": (30, 120),
    "recency": (0.7, 0.9),
    "absence_fresh": (0.05, 0.2),
    "absence_stale": (1.0, 6.0),
    "stale_after_ms": (2 * DAY_MS, 40 * DAY_MS),
}


def _label(name: str, value: _Value) -> str:
    if not name.endswith("_ms"):
        return f"{name} {value:g}"
    times = value if isinstance(value, tuple) else (value,)
    return f"{name.removesuffix('_ms')} {', '.join(f'{one / HOUR_MS:g}' for one in times)} h"


MODELS: Final[dict[str, Model]] = {
    _label(name, value): structs.replace(MODEL, **{name: value}) for name, sides in _SIDES.items() for value in sides
}
"""The constants of counting and ranking, each lower and higher. Each is played in a pass of its own."""
