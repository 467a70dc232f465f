"""Moves weights towards what users chose: one softmax step for each event, over the candidates of the user's list.

The loss is the negative logarithm of the chosen item's share of the softmax over the candidates' scores. Steps are
Adagrad's (J. Duchi, E. Hazan, Y. Singer, "Adaptive Subgradient Methods", JMLR 12, 2011), so no feature's scale has to
be known, and one event moves no weight by more than `RATE`.
"""

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.core.weights import FEATURES, SIZES, Weights

RATE: Final = 0.1
"""The most that one event moves a weight. From 0.03 to 0.3 all but the smallest logs' figures stay within 2 %."""

# What is learned of users with one size of history says something of the others, too.
_OTHER_SIZES: Final = 0.3
_FIRST_SQUARE: Final = 1e-2
LARGEST: Final = 20.0
"""No weight gets beyond this, on either side of 0."""


class Learner(Struct):
    """The state, which `learn` changes in place. `squares`: sums of squared gradients, in the shape of `weights`."""

    weights: Weights
    squares: NDArray[np.float64]
    events: int = 0


def starting_from(weights: Weights) -> Learner:
    return Learner(weights.copy(), np.full((len(SIZES), len(FEATURES)), _FIRST_SQUARE))


def learn(learner: Learner, features: NDArray[np.float32], chosen: int, size: int, *, rate: float = RATE) -> None:
    """`features`: of the candidates, a row each. `chosen`: the row of the item that the user took. `size`: of the
    user's history, a row of the weights. `rate`: the most that one event moves a weight.

    Does nothing when the features are not finite.
    """
    scores = features @ learner.weights[size]
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    gradient = features[chosen] - shares @ features
    if not np.isfinite(gradient).all():
        return
    of_sizes = np.where(np.arange(len(SIZES)) == size, 1.0, _OTHER_SIZES)[:, None] * gradient
    learner.squares += of_sizes**2
    learner.weights += rate * of_sizes / np.sqrt(learner.squares)
    np.clip(learner.weights, -LARGEST, LARGEST, out=learner.weights)
    learner.events += 1
