"""95 % intervals for figures in which each user counts several times.

The events of one user depend on each other; users are independent. Users are assigned to random groups, and the error
of a figure follows from how much it changes when each group is left out: random groups and the jackknife (K. Wolter,
"Introduction to Variance Estimation", 2nd ed. 2007, chapters 2 and 4). Sums of groups can be added over days; sums of
squares by user and day could not. If few users make most of the clicks or of the watch time, the intervals are a little
too narrow.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Final

from msgspec import Struct

Z: Final = 1.959964
# Student's t for few degrees of freedom, where the series below is too inexact.
_T_OF_FEW: Final = (12.706205, 4.302653, 3.182446, 2.776445)


class Estimate(Struct, frozen=True):
    """`low` and `high` bound the 95 % interval; both are None when the data do not determine it."""

    value: float
    low: float | None = None
    high: float | None = None


def share(parts: Sequence[float], wholes: Sequence[float]) -> Estimate | None:
    """The share of `parts` in `wholes`, 0 to 1, from the sums of each group; None when the wholes sum to 0.

    Wilson's interval (JASA 22, 1927) with the effective number of observations, at most the whole
    (N. Dean, M. Pagano, "Evaluating Confidence Interval Methods for Binomial Proportions in Clustered Surveys", JSSAM
    3(4), 2015). A share of 0 or 1, or a single group, has no variance: then each group counts as one observation, and a
    single group gives the widest interval.
    """
    whole, groups = sum(wholes), _inhabited(wholes)
    if groups == 0:
        return None
    value = min(1.0, sum(parts) / whole)
    if groups == 1:
        return _wilson(value, 1.0, student(1))
    if value in (0.0, 1.0):
        return _wilson(value, float(groups), Z)
    alone = value * (1.0 - value) / whole
    return _wilson(value, whole * alone / max(alone, _variance(value, parts, wholes)), student(_freedom(wholes)))


def mean(totals: Sequence[float], counts: Sequence[float]) -> Estimate | None:
    """The mean: total divided by count, from the sums of each group (none below 0); None when the counts sum to 0."""
    groups = _inhabited(counts)
    if groups == 0:
        return None
    value = sum(totals) / sum(counts)
    if groups == 1:
        return Estimate(value)
    half = student(_freedom(counts)) * sqrt(_variance(value, totals, counts))
    return Estimate(value, max(0.0, value - half), value + half)


def difference(one: Estimate, other: Estimate) -> Estimate:
    """`one` minus `other`, for disjoint sets of users.

    The distances of each value to its bounds are squared and added: R. Newcombe, "Interval estimation for the
    difference between independent proportions", Statistics in Medicine 17, 1998, method 10; for other figures G. Zou,
    A. Donner, the same journal 27, 2008.
    """
    value = one.value - other.value
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return Estimate(value)
    below = sqrt((one.value - one.low) ** 2 + (other.high - other.value) ** 2)
    above = sqrt((one.high - one.value) ** 2 + (other.value - other.low) ** 2)
    return Estimate(value, value - below, value + above)


def student(freedom: int) -> float:
    """The 97.5 % point of Student's t, `freedom` at least 1: Abramowitz and Stegun 26.7.5, within 0.2 % of it."""
    if freedom <= len(_T_OF_FEW):
        return _T_OF_FEW[freedom - 1]
    z, n = Z, float(freedom)
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


def _variance(ratio: float, parts: Sequence[float], wholes: Sequence[float]) -> float:
    """The jackknife variance of the ratio of sums, from at least two non-empty groups."""
    total, groups = sum(wholes), _inhabited(wholes)
    # How far the ratio would move without the group.
    moves = ((part - ratio * whole) / (total - whole) for part, whole in zip(parts, wholes, strict=True))
    return sum(move * move for move in moves) * (groups - 1) / groups


def _freedom(wholes: Sequence[float]) -> int:
    """Kish's effective number of groups, minus one."""
    return max(1, round(sum(wholes) ** 2 / sum(whole * whole for whole in wholes)) - 1)


def _inhabited(wholes: Sequence[float]) -> int:
    return sum(whole > 0.0 for whole in wholes)


def _wilson(value: float, observations: float, z: float) -> Estimate:
    square = z * z / observations
    centre = (value + square / 2.0) / (1.0 + square)
    half = z / (1.0 + square) * sqrt(value * (1.0 - value) / observations + square / (4.0 * observations))
    # Rounding must not put the value outside its own interval.
    return Estimate(value, max(0.0, min(value, centre - half)), min(1.0, max(value, centre + half)))
