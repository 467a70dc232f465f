"""How many users an experiment needs, before it starts."""

from math import ceil, log, sqrt
from statistics import NormalDist
from typing import Final

from app.core.sequential import MIN_ACTIVE, MIN_USERS, radius

_PRECISION: Final = 1e-9


def users_needed(
    *, deviation: float, minimum_effect: float, shares: tuple[float, float], alpha: float, power: float, active: float
) -> tuple[int, int]:
    """Users of control and of a variant, with these shares, until a true relative change of `minimum_effect` has shown
    with the chance `power`. `deviation`: of one user's figure, relative to the figure; `active`: the share of users
    whose figure is not 0.

    The test looks every day and ends at the first interval without 0. This is the size at which it would show in the
    last look alone, so most experiments end before it.
    """
    effect, beyond = log(1.0 + minimum_effect), NormalDist().inv_cdf(power)
    unit = deviation * deviation * sum(1.0 / share for share in shares)

    def shows(total: float) -> bool:
        variance = unit / total
        return radius(variance, scale=minimum_effect, alpha=alpha) + beyond * sqrt(variance) <= effect

    least = max(MIN_USERS, MIN_ACTIVE / active) / min(shares)
    low, high = least, least
    while not shows(high):
        low, high = high, 2.0 * high
    # Beyond 2 ** 53 users no number is between some that are more than one apart.
    while high - low > max(1.0, _PRECISION * high):
        middle = (low + high) / 2.0
        low, high = (low, middle) if shows(middle) else (middle, high)
    return ceil(high * shares[0]), ceil(high * shares[1])
