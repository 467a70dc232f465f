"""The pairs of a fold by the integer keys of their items, as `item_pairs` has them: the smaller key first."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from app.adapters.copied_pairs import SUMS
from app.core.folded_pairs import BACK, FORTH, MET, WEIGHT

if TYPE_CHECKING:
    from app.core.folded_pairs import FoldedPairs

KEYED_PAIR: Final = np.dtype([("a", "<i4"), ("b", "<i4"), *((name, "<f8") for name in SUMS)])


def keyed_pairs(pairs: "FoldedPairs", keys: Mapping[str, int]) -> NDArray[np.void]:
    """Rows of `KEYED_PAIR`, in the order of `pairs`. `keys`: of all their items."""
    key_of = np.array([keys[item_id] for item_id in pairs.ids])
    one, other, sums = key_of[pairs.one], key_of[pairs.other], pairs.sums
    in_order = one < other
    found = np.empty(len(pairs), KEYED_PAIR)
    found["a"], found["b"] = np.minimum(one, other), np.maximum(one, other)
    found["weight"], found["met"] = sums[:, WEIGHT], sums[:, MET]
    found["a_to_b"] = np.where(in_order, sums[:, FORTH], sums[:, BACK])
    found["b_to_a"] = np.where(in_order, sums[:, BACK], sums[:, FORTH])
    return found


def in_key_order(pairs: NDArray[np.void]) -> NDArray[np.void]:
    """Rows of `KEYED_PAIR`, sorted by both keys."""
    return pairs[np.argsort(pairs["a"].astype(np.int64) << 32 | pairs["b"])]
