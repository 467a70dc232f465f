"""Pairs in COPY's binary format: numpy lays millions of rows out in the time that a loop takes for some thousand."""

from collections.abc import Mapping
from itertools import chain
from typing import Final

import numpy as np

from app.core.features import PairDelta

_PAIR_ROW: Final = np.dtype(
    [
        ("columns", ">i2"),
        ("a_bytes", ">i4"),
        ("a", ">i4"),
        ("b_bytes", ">i4"),
        ("b", ">i4"),
        ("weight_bytes", ">i4"),
        ("weight", ">f8"),
        ("met_bytes", ">i4"),
        ("met", ">f4"),
        ("a_to_b_bytes", ">i4"),
        ("a_to_b", ">f8"),
        ("b_to_a_bytes", ">i4"),
        ("b_to_a", ">f8"),
    ]
)
"""A row of COPY's binary format: the number of columns, then the size and the value of each."""
_COPY_BEGIN: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END: Final = b"\xff\xff"


def copied_pairs(pairs: Mapping[tuple[str, str], PairDelta], keys: Mapping[str, int]) -> bytes:
    """The pairs in COPY's binary format, the smaller key first."""
    one = np.fromiter((keys[a] for a, _ in pairs), np.int32, len(pairs))
    other = np.fromiter((keys[b] for _, b in pairs), np.int32, len(pairs))
    sums = np.fromiter(chain.from_iterable(pairs.values()), np.float64, 4 * len(pairs)).reshape(-1, 4)
    in_order = one < other
    rows = np.zeros(len(pairs), _PAIR_ROW)
    rows["columns"] = 6
    for name, values in (
        ("a", np.minimum(one, other)),
        ("b", np.maximum(one, other)),
        ("weight", sums[:, 0]),
        ("met", sums[:, 1]),
        ("a_to_b", np.where(in_order, sums[:, 2], sums[:, 3])),
        ("b_to_a", np.where(in_order, sums[:, 3], sums[:, 2])),
    ):
        rows[name] = values
        rows[f"{name}_bytes"] = _PAIR_ROW[name].itemsize
    return _COPY_BEGIN + rows.tobytes() + _COPY_END
