"""How far a variant's figure is from control's, with an interval that holds however often somebody looks.

Each user is one observation: what the user did within the same number of days after the first list. A figure is a ratio
of sums over users, and its variance follows from the spread between users (the delta method: A. Deng, U. Knoblich,
J. Lu, "Applying the Delta Method in Metric Analytics", KDD 2018). Users enter once and do not change afterwards, so the
estimates of successive looks are those of a growing sample.

Changes are relative, as the logarithm of the ratio of two figures. Their intervals are a confidence sequence: the
chance that one of all looks misses the true change is at most `alpha`. It is the mixture sequential probability ratio
test with a normal mixture: R. Johari, P. Koomen, L. Pekelis, D. Walsh, "Always Valid Inference: Continuous Monitoring
of A/B Tests", Operations Research 70(3), 2022; for means that are normal only in the limit: I. Waudby-Smith, D. Arbour,
R. Sinha, E. Kennedy, A. Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences", Annals of
Statistics 52(6), 2024.
"""

from collections.abc import Sequence
from math import exp, lgamma, log, sqrt
from typing import Final

from msgspec import Struct

MIN_USERS: Final = 200
MIN_ACTIVE: Final = 50
"""Without as many users, and users whose figure is not 0, an estimate is not normal enough for its interval."""

# Of the prior for shares of users. The larger, the smaller the deviations that are found.
_SHARES_PRIOR: Final = 1_000.0

_MOST_CHANGE: Final = log(1e6)
"""No upper bound is told that is greater: where few users make a figure, `exp` may have none."""


class Moments(Struct, frozen=True):
    """Sums over users of `x`, the numerator, and `y`, the denominator. `active`: users with an `x` above 0."""

    users: int
    active: int
    x: float
    y: float
    xx: float
    yy: float
    xy: float

    @property
    def enough(self) -> bool:
        return self.users >= MIN_USERS and self.active >= MIN_ACTIVE

    @property
    def value(self) -> float | None:
        return self.x / self.y if self.y > 0.0 else None

    @property
    def deviation(self) -> float | None:
        """The standard deviation of one user's share in the figure, relative to the figure; None when it has none."""
        if self.users < 2 or self.x <= 0.0 or self.y <= 0.0:
            return None
        ratio = self.x / self.y
        # The deviations `x - ratio * y` sum to 0.
        squares = self.xx - 2.0 * ratio * self.xy + ratio * ratio * self.yy
        return sqrt(max(0.0, squares) / (self.users - 1)) / (self.x / self.users)


class RelativeChange(Struct, frozen=True):
    """Relative to control: 0.04 is 4 % more. `low` and `high` bound the interval."""

    value: float
    low: float
    high: float


def change(variant: Moments, control: Moments, *, scale: float, alpha: float) -> RelativeChange | None:
    """None while there is too little to tell. `scale`: the relative change that the test is most sensitive to."""
    ours, theirs = variant.deviation, control.deviation
    if not (variant.enough and control.enough) or ours is None or theirs is None:
        return None
    distance = log(variant.x / variant.y) - log(control.x / control.y)
    half = radius(ours * ours / variant.users + theirs * theirs / control.users, scale=scale, alpha=alpha)
    most = max(distance, min(distance + half, _MOST_CHANGE))
    return RelativeChange(exp(distance) - 1.0, exp(distance - half) - 1.0, exp(most) - 1.0)


def radius(variance: float, *, scale: float, alpha: float) -> float:
    """Half the width of the interval around an estimate of this variance; `scale`: the deviation of the mixture."""
    mixture = log(1.0 + scale) ** 2
    if variance <= 0.0:
        return 0.0
    total = variance + mixture
    return sqrt(variance * total / mixture * (2.0 * log(1.0 / alpha) + log(total / variance)))


def shares_doubt(users: Sequence[int], shares: Sequence[float]) -> float:
    """The chance, at most, that the numbers of users are as far from the shares at any look, if nothing is wrong.

    The Bayes factor of a multinomial against a Dirichlet mixture around the shares (M. Lindon, A. Malek, "Anytime-Valid
    Inference for Multinomial Count Data", NeurIPS 2022). Shares of 0 take no users.
    """
    counted = [(count, share) for count, share in zip(users, shares, strict=True) if share > 0.0]
    total = sum(count for count, _ in counted)
    whole = sum(share for _, share in counted)
    factor = lgamma(_SHARES_PRIOR) - lgamma(_SHARES_PRIOR + total)
    for count, share in counted:
        prior = _SHARES_PRIOR * share / whole
        factor += lgamma(prior + count) - lgamma(prior) - count * log(share / whole)
    return exp(-min(700.0, max(0.0, factor)))
