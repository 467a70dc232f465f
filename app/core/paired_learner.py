"""Learns at two paces, for what users do may change (S. H. Bach and M. A. Maloof, "Paired Learners for Concept Drift",
ICDM 2008).

Adagrad's steps become smaller with each event. That learns a log best that stays as it is, and hardly learns one that
changes, as a shop's that sends nothing but purchases for a year and then clicks as well. So a quick learner, which
forgets the squares of old gradients, learns along. Where it has been better on the latest samples, by more than chance,
the steady one goes on from it.
"""

from math import isfinite, sqrt
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.core.learning import RATE, Learner, learn, starting_from
from app.core.weights import Weights

KEPT: Final = 0.99
"""What the quick learner keeps of its squares at each step: those of the last hundred count."""

_SAMPLES: Final = 300.0
"""The mean of the gains is that of about so many samples."""

_Z: Final = 5.0
"""So many standard errors above 0 are more than chance, and more than ten samples can make, as those of one user."""

_MOST_GAIN: Final = 5.0


class Gain(Struct):
    """Of the quick learner over the steady one, as a difference of the logarithms of the chosen items' shares: its mean
    and variance over the latest samples, and how many samples there were.
    """

    mean: float = 0.0
    variance: float = 0.0
    samples: int = 0

    def add(self, value: float) -> None:
        value = min(_MOST_GAIN, max(-_MOST_GAIN, value))
        share = max(1.0 / _SAMPLES, 1.0 / (self.samples + 1))
        away = value - self.mean
        self.mean += share * away
        self.variance = (1.0 - share) * (self.variance + share * away * away)
        self.samples += 1

    @property
    def is_more_than_chance(self) -> bool:
        return self.samples >= _SAMPLES and self.mean > _Z * sqrt(self.variance / (2.0 * _SAMPLES))


class PairedLearner(Struct):
    """The state, which `learn_paired` changes in place. `changes`: how often the steady learner went on from the quick
    one.
    """

    steady: Learner
    quick: Learner
    gain: Gain
    changes: int = 0

    @property
    def weights(self) -> Weights:
        return self.steady.weights


def paired_from(weights: Weights) -> PairedLearner:
    return PairedLearner(starting_from(weights), starting_from(weights), Gain())


def learn_paired(
    pair: PairedLearner,
    features: NDArray[np.float32],
    chosen: int,
    size: int,
    *,
    rate: float = RATE,
    stands_for: float = 1.0,
) -> None:
    """As `learning.learn`. One event moves no weight of either learner by more than the rate."""
    of_steady = learn(pair.steady, features, chosen, size, rate=rate, stands_for=stands_for)
    of_quick = learn(pair.quick, features, chosen, size, rate=rate, stands_for=stands_for, kept=KEPT)
    if not isfinite(of_quick - of_steady):
        return
    pair.gain.add(of_quick - of_steady)
    if pair.gain.is_more_than_chance:
        pair.steady.weights[:] = pair.quick.weights
        pair.steady.squares[:] = pair.quick.squares
        pair.gain = Gain()
        pair.changes += 1
