"""The features of a candidate and their weights: a score is the weighted sum.

There is a weight vector for each of four sizes of history: who is unknown, who has just come, and who is known well are
ranked by different features.
"""

from bisect import bisect_right
from collections.abc import Mapping
from functools import cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.core.item_features import ITEM_FEATURES

NEIGHBOUR_FEATURES: Final = ("similar", "similar_last", "lasting", "following")
"""What the lists of the user's latest items say of the candidate, log-scaled: the sum of similarities, and the part of
the last item alone; the mean of the similarities that do not age; how often users went on to it from the last three
items."""

OWN_FEATURES: Final = ("own", "own_times", "own_age", "own_repeats")
"""0 for an item that the user never had. Else 1; and, log-scaled, how often, how many hours ago, and how often users
come back to the item."""

CONTENT_FEATURES: Final = ("content", "category")
"""0 for all but cold items, which have no sums to go by. Else how like the user's latest items it is by its content,
log-scaled; and the share of these items that are of its category."""

FEATURES: Final = (*ITEM_FEATURES, *NEIGHBOUR_FEATURES, *OWN_FEATURES, "absence", *CONTENT_FEATURES)
"""The columns of a candidate's features. `absence`: the item's popularity times a weight that grows with the time since
the user was last here, for a fresh history tells intent and a stale one taste at best."""

FROM_ITEM: Final = slice(0, len(ITEM_FEATURES))
FROM_NEIGHBOURS: Final = slice(FROM_ITEM.stop, FROM_ITEM.stop + len(NEIGHBOUR_FEATURES))
FROM_OWN: Final = slice(FROM_NEIGHBOURS.stop, FROM_NEIGHBOURS.stop + len(OWN_FEATURES))
ABSENCE: Final = FROM_OWN.stop
FROM_CONTENT: Final = slice(ABSENCE + 1, len(FEATURES))

SIZES: Final = ("no history", "1 or 2 items", "3 to 14 items", "15 items and more")
_SIZES_FROM: Final = (1, 3, 15)

Weights: TypeAlias = NDArray[np.float64]
"""One row for each of `SIZES`, one column for each of `FEATURES`."""


def size_of(items: int) -> int:
    """The row of `Weights` for a history of so many items."""
    return bisect_right(_SIZES_FROM, items)


WeightRows: TypeAlias = tuple[tuple[float, ...], ...]
"""`Weights` that can be compared and hashed."""


@cache
def array_of(rows: WeightRows) -> Weights:
    """The same array whenever it is asked for the same numbers, which are those of variants: few."""
    return np.array(rows, np.float64)


def weights_of(rows: Mapping[str, tuple[float, float, float, float]]) -> Weights:
    """From the weights of each feature, for the four sizes. Features that are left out weigh nothing."""
    found = np.zeros((len(SIZES), len(FEATURES)))
    for name, values in rows.items():
        found[:, FEATURES.index(name)] = values
    return found


def _alike(**values: float) -> Weights:
    """The same weights for all sizes."""
    return weights_of({name: (value, value, value, value) for name, value in values.items()})


FIXED: Final = _alike(
    similar=1.0,
    lasting=0.2,
    following=0.4,
    popular_week=0.3,
    popular_hours=0.1,
    absence=0.2,
    own=-2.5,
    own_repeats=1.75,
    content=0.8,
)
"""What serves until weights have been learned: close to the best that is known for a log of which nothing is known."""

POPULARITY: Final = _alike(popular_week=1.0)
"""What is popular, and nothing else: what a ranking has to beat."""

# The mean of what a shop, click sessions, news and films taught: none of them is right for another log, but all are
# nearer to it than nothing is.
START: Final = weights_of(
    {
        "popular_hours": (0.49, 0.36, 0.33, 0.36),
        "popular_day": (0.11, -0.02, -0.05, -0.05),
        "popular_week": (0.36, 0.32, 0.23, 0.20),
        "frequency": (0.02, 0.05, -0.04, -0.08),
        "age": (-0.38, -0.28, -0.34, -0.27),
        "newness": (0.15, 0.17, 0.18, 0.08),
        "similar": (0.99, 1.0, 0.97, 0.94),
        "similar_last": (0.11, 0.08, 0.14, 0.01),
        "lasting": (0.23, 0.18, 0.15, 0.16),
        "following": (0.32, 0.17, 0.34, 0.31),
        "own": (-2.33, -2.32, -2.96, -2.97),
        "own_times": (0.25, 0.37, -0.26, -0.39),
        "own_age": (-0.06, 0.19, -0.21, -0.32),
        "own_repeats": (1.16, 1.18, 1.19, 1.16),
        "absence": (0.48, 0.54, 0.46, 0.49),
        "content": (0.8, 0.8, 0.8, 0.8),
    }
)
"""What learning starts from."""
