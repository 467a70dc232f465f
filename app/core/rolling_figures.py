"""How well several rankings do on the same events: figures over the latest tests, and paired differences.

A test is the place that each contender gave to the item that the user took. Places are kept in a ring of bytes, and
figures are computed from it when they are asked for: a test costs a few bytes, and nothing drifts.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Final, Literal, get_args

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

LENGTH: Final = 20
"""Places of a list that count: a hit rate@20."""

WINDOW: Final = 4_096
"""So many of the latest tests make the figures."""

Contender = Literal["served", "learned", "fixed", "popularity", "before"]
"""What serves, what is being learned, the fixed constants, popularity alone, and what served before."""

CONTENDERS: Final[tuple[Contender, ...]] = get_args(Contender)

# By place; 0 is a miss.
_PLACES: Final = np.arange(LENGTH + 1)
_NDCG: Final = np.where(_PLACES > 0, 1.0 / np.log2(np.maximum(_PLACES, 1) + 1.0), 0.0)


class RankingFigures(Struct, frozen=True):
    """`hit_rate`: the share of tests with the right item in the list. `ndcg`: 1 / log2(place + 1) of it, `mrr`:
    1 / place, on average, 0 for a miss.
    """

    tests: int
    hit_rate: float
    ndcg: float
    mrr: float


def figures_of(places: Sequence[int] | NDArray[np.uint8]) -> RankingFigures:
    """From the place, from 1, of the right item in each test; 0: a miss."""
    found = np.asarray(places, np.float64)
    hits, tests = found[found > 0.0], max(1, len(found))
    return RankingFigures(
        len(found),
        len(hits) / tests,
        float((1.0 / np.log2(hits + 1.0)).sum() / tests),
        float((1.0 / hits).sum() / tests),
    )


class Difference(Struct, frozen=True):
    """The mean of the paired differences of NDCG over so many tests, and its standard error."""

    tests: int
    mean: float
    error: float


class RollingFigures:
    """The last `window` tests."""

    def __init__(self, window: int = WINDOW) -> None:
        self._places = np.zeros((window, len(CONTENDERS)), np.uint8)
        self._new = np.zeros(window, np.bool_)
        self._next = 0
        self.tests = 0
        """How many tests are remembered."""

    def add(self, places: Sequence[int], *, is_new: bool) -> None:
        """`places`: of each of `CONTENDERS`, from 1; 0 or beyond `LENGTH` is a miss. `is_new`: whether the user took
        the item for the first time.
        """
        self._places[self._next] = [place if place <= LENGTH else 0 for place in places]
        self._new[self._next] = is_new
        self._next = (self._next + 1) % len(self._places)
        self.tests = min(self.tests + 1, len(self._places))

    def figures(self, contender: Contender, *, new_only: bool = False, last: int = WINDOW) -> RankingFigures:
        """Over the `last` tests."""
        rows = self._last(min(last, self.tests))
        if new_only:
            rows = rows[self._new[rows]]
        return figures_of(self._places[rows, CONTENDERS.index(contender)])

    def difference(self, better: Contender, worse: Contender, *, last: int) -> Difference:
        """By how much `better` is better than `worse`, over the `last` tests."""
        rows = self._last(min(last, self.tests))
        if not len(rows):
            return Difference(0, 0.0, 0.0)
        gains = _NDCG[self._places[rows]]
        values = gains[:, CONTENDERS.index(better)] - gains[:, CONTENDERS.index(worse)]
        return Difference(len(rows), float(values.mean()), float(values.std()) / sqrt(len(rows)))

    def encode(self) -> tuple[bytes, bytes]:
        """The places and which tests are of new items, oldest first."""
        rows = self._last(self.tests)
        return self._places[rows].tobytes(), np.packbits(self._new[rows]).tobytes()

    def restore(self, places: bytes, new: bytes) -> None:
        """Adds what `encode` gave. Raises `ValueError` for bytes of other contenders."""
        if len(places) % len(CONTENDERS):
            raise ValueError("the places are those of other contenders")
        rows = np.frombuffer(places, np.uint8).reshape(-1, len(CONTENDERS))
        flags = np.unpackbits(np.frombuffer(new, np.uint8), count=len(rows)).tolist()
        for row, is_new in zip(rows.tolist(), flags, strict=True):
            self.add(row, is_new=bool(is_new))

    def _last(self, count: int) -> NDArray[np.intp]:
        """The rows of the last `count` tests, oldest first."""
        return (np.arange(count) + self._next - count) % len(self._places)
