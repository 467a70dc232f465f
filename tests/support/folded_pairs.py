"""The pairs of a fold by the ids of their items."""

from collections.abc import Mapping

import numpy as np

from app.core.features import Fold
from app.core.folded_pairs import FoldedPairs


def pairs_of(folded: Fold | FoldedPairs) -> dict[tuple[str, str], list[float]]:
    """The sums of each pair, the lesser id first: weight, users, how often one followed the other, and the reverse."""
    found = folded.pairs.sums() if isinstance(folded, Fold) else folded
    numbers = zip(found.one.tolist(), found.other.tolist(), strict=True)
    return {(found.ids[a], found.ids[b]): sums for (a, b), sums in zip(numbers, found.sums.tolist(), strict=True)}


def folded_pairs(sums: Mapping[tuple[str, str], list[float]]) -> FoldedPairs:
    """The reverse."""
    ids = sorted({item_id for pair in sums for item_id in pair})
    one, other = (np.array([ids.index(pair[side]) for pair in sums], np.int64) for side in (0, 1))
    return FoldedPairs(ids, one, other, np.array(list(sums.values()), np.float64).reshape(-1, 4))
