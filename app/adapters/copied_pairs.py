"""Pairs in COPY's binary format: numpy lays millions of rows out in the time that a loop takes for some thousand."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

SUMS: Final = ("weight", "met", "a_to_b", "b_to_a")
"""The columns of sums in `item_pairs`."""

COLUMNS: Final = ("item_a", "item_b", *SUMS, "created_minute")
"""Those that `copied_pairs` writes, in order."""

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
        ("created_minute_bytes", ">i4"),
        ("created_minute", ">i4"),
    ]
)
"""A row of COPY's binary format: the number of columns, then the size and the value of each."""
_COPY_BEGIN: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END: Final = b"\xff\xff"


def copied_pairs(item_a: NDArray[np.int64], item_b: NDArray[np.int64], sums: NDArray[np.float64]) -> bytes:
    """`sums`: a row of `SUMS` for each pair.

    A fold does not know when a pair was met first, so none is young: otherwise nothing would be pruned for days.
    """
    rows = np.empty(len(item_a), _PAIR_ROW)
    rows["columns"] = len(COLUMNS)
    for name, values in (("a", item_a), ("b", item_b), *zip(SUMS, sums.T, strict=True), ("created_minute", 0)):
        rows[name] = values
        rows[f"{name}_bytes"] = _PAIR_ROW[name].itemsize
    return _COPY_BEGIN + rows.tobytes() + _COPY_END
