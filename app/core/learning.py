"""Moves weights towards what users chose: one softmax step for each event, over the user's best candidates.

The loss is the negative logarithm of the chosen item's share of the softmax over the scores of the `WITHIN_REACH` best
candidates. An event whose item is not among them teaches nothing: no small step brings it into a list, and a step
towards it costs the places of items that are near. Steps are Adagrad's
(J. Duchi, E. Hazan, Y. Singer, "Adaptive Subgradient Methods", JMLR 12, 2011), so no feature's scale has to be known,
and one event moves no weight by more than `RATE`.
"""

from math import nan
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.core.weights import FEATURES, FROM_CONTENT, SIZES, Weights

RATE: Final = 0.1
"""The most that one event moves a weight. From 0.03 to 0.3 all but the smallest logs' figures stay within 2 %."""

# What is learned of users with one size of history says something of the others, too.
_OTHER_SIZES: Final = 0.3
_FIRST_SQUARE: Final = 1e-2
WITHIN_REACH: Final = 200
"""Of so many candidates, the best by the weights of today, a step raises one above the others. 50 and 100 forget what a
shop's users buy again, which begins far down; all candidates lose 1 % of a dense log's hits."""
LARGEST: Final = 20.0
"""No weight gets beyond this, on either side of 0."""


class Learner(Struct):
    """The state, which `learn` changes in place. `squares`: sums of squared gradients, in the shape of `weights`."""

    weights: Weights
    squares: NDArray[np.float64]
    events: int = 0


def starting_from(weights: Weights) -> Learner:
    return Learner(weights.copy(), np.full((len(SIZES), len(FEATURES)), _FIRST_SQUARE))


def learn(
    learner: Learner,
    features: NDArray[np.float32],
    chosen: int,
    size: int,
    *,
    rate: float = RATE,
    stands_for: float = 1.0,
    kept: float = 1.0,
) -> float:
    """`features`: of the candidates, a row each. `chosen`: the row of the item that the user took. `size`: of the
    user's history, a row of the weights. `rate`: the most that one event moves a weight. `stands_for`: how many events
    the sample stands for, which the gradient is multiplied by. `kept`: what is kept of the squares before.

    Candidates by content lack all other features, and that says nothing about those: the weights of content are moved
    by what all candidates have, the others by what the other candidates have, if the user took one of these.

    Does nothing when the features are not finite, or the item is not within reach. Returns the logarithm of the chosen
    one's share of the softmax over all candidates, as it was before the step; NaN when the features are not finite.
    """
    weights = learner.weights[size]
    scores = features @ weights
    if not np.isfinite(scores).all():
        return nan
    best = scores.max()
    share = float(scores[chosen] - best - np.log(np.exp(scores - best).sum()))
    if len(scores) > WITHIN_REACH:
        near = scores >= np.partition(scores, -WITHIN_REACH)[-WITHIN_REACH]
        if not near[chosen]:
            return share
        features, scores, chosen = features[near], scores[near], int(np.count_nonzero(near[:chosen]))
    gradient = _gradient(features, chosen, scores)
    others = (features[:, FROM_CONTENT] == 0.0).all(axis=1)
    if not others.all():
        of_others = np.zeros_like(gradient)
        if others[chosen]:
            of_others = _gradient(features[others], int(np.count_nonzero(others[:chosen])), scores[others])
        gradient[: FROM_CONTENT.start] = of_others[: FROM_CONTENT.start]
    of_sizes = np.where(np.arange(len(SIZES)) == size, stands_for, _OTHER_SIZES * stands_for)[:, None] * gradient
    if kept < 1.0:
        np.maximum(learner.squares * kept, _FIRST_SQUARE, out=learner.squares)
    learner.squares += of_sizes**2
    learner.weights += rate * of_sizes / np.sqrt(learner.squares)
    np.clip(learner.weights, -LARGEST, LARGEST, out=learner.weights)
    learner.events += 1
    return share


def _gradient(features: NDArray[np.float32], chosen: int, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the logarithm of the chosen one's share of the softmax of the `scores`."""
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    found: NDArray[np.float64] = features[chosen] - shares @ features
    return found
