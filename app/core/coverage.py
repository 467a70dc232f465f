"""How much of the catalogue was shown, estimated from sketches that merge over days and lists.

A sketch is a HyperLogLog of items: a register each byte, 0 while it is empty. Of few items the estimate counts the
empty registers, and of many it goes by the ranks (`app.core.hyperloglog`). The standard error of the
first: K.-Y. Whang, B. Vander-Zanden, H. Taylor, "A linear-time probabilistic counting algorithm for database
applications", TODS 15(2), 1990.
"""

from collections.abc import Sequence
from math import exp, sqrt
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.core import hyperloglog
from app.core.intervals import Estimate, Z

REGISTERS: Final = 1_024

Sketch: TypeAlias = NDArray[np.uint8]

NOTHING: Final[Sketch] = np.zeros(REGISTERS, np.uint8)
"""The sketch of no item."""


def table_of(sketches: Sequence[bytes]) -> NDArray[np.uint8]:
    """A row for each sketch."""
    return np.frombuffer(b"".join(sketches), np.uint8).reshape(len(sketches), REGISTERS)


def merged(table: NDArray[np.uint8]) -> Sketch:
    """The sketch of all items of the rows, of which there is at least one."""
    found: Sketch = table.max(axis=0)
    return found


def share(sketch: Sketch, catalogue: int) -> Estimate | None:
    """The share of the catalogue that the sketch has, 0 to 1, with a 95 % interval; None without a catalogue."""
    if not catalogue:
        return None
    items = hyperloglog.estimate(sketch[sketch > 0].tolist(), REGISTERS)
    off = Z * _standard_error(items)
    return Estimate(*(max(0.0, min(1.0, many / catalogue)) for many in (items, items - off, items + off)))


def _standard_error(items: int) -> float:
    load = items / REGISTERS
    few = sqrt(REGISTERS * max(0.0, exp(min(load, 10.0)) - load - 1.0))
    return min(few, 1.04 / sqrt(REGISTERS) * items)
