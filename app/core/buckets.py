"""Which variant each thousandth of the users belongs to. A change of shares moves as few users as it can."""

from collections.abc import Mapping, Sequence
from typing import Final

BUCKETS: Final = 1_000
CONTROL_BUCKET: Final = ""
"""The owner of the buckets that no variant has."""


def moved(buckets: Sequence[str], shares: Mapping[str, float]) -> list[str]:
    """The owner of each bucket once the variants have these shares (multiples of 1/1,000, at most 1 together).

    A variant that has too many gives its last ones away, and one that has too few takes those first, then control's.
    """
    wanted = {name: round(share * BUCKETS) for name, share in shares.items()}
    found, given = list(buckets), []
    for name in set(found) - {CONTROL_BUCKET}:
        given += [index for index, owner in enumerate(found) if owner == name][wanted.get(name, 0) :]
    for index in given:
        found[index] = CONTROL_BUCKET
    free = [*sorted(given), *(index for index, owner in enumerate(buckets) if owner == CONTROL_BUCKET)]
    for name, count in wanted.items():
        missing = max(0, count - found.count(name))
        for index in free[:missing]:
            found[index] = name
        free = free[missing:]
    return found


def shares_of(buckets: Sequence[str]) -> dict[str, float]:
    return {name: buckets.count(name) / len(buckets) for name in set(buckets)}
