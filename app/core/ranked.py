"""Candidates with their scores: the best of them in order, and what each score is made of."""

from collections.abc import Collection, Mapping, Sequence
from heapq import nlargest
from itertools import islice
from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec import Struct, structs

from app.core.candidates import NO_NEIGHBOURS, NO_POPULAR, Neighbours, Popular
from app.core.history import mark

COVISITATION: Final = "covisitation"
POPULAR: Final = "popular"
RETURN: Final = "return"

_CAUSES: Final = 3

# An item of the history whose neighbours are candidates, its weight, and how far its list is read.
Seed = tuple[str, float, int]


class Cause(Struct, frozen=True):
    """An item that led to another: what the user did with it (a `signals.Kind`), and its part of the score."""

    item_id: str
    kind: int
    part: float


class Ranked(Struct, frozen=True):
    """One place of an answer.

    `popularity` is the prior's part of the score, `factor` what it was multiplied by (an item offered again, a rule);
    the rest is similarity. `causes`: the user's items that led here, the strongest first, where asked for.
    """

    item_id: str
    score: float
    source: str
    popularity: float = 0.0
    factor: float = 1.0
    causes: tuple[Cause, ...] = ()

    def sourced(self, source: str) -> "Ranked":
        """The same from another source."""
        return structs.replace(self, source=source)


class Met(NamedTuple):
    """What the user did with an item: the weight of it all, when last, the strongest `Kind`, and a bit for each."""

    weight: float
    at_ms: int
    kind: int
    kinds: int


class Ranking:
    """Candidates with their scores. `best` puts no more in order than is asked for."""

    __slots__ = (
        "_factors",
        "_kinds",
        "_latest",
        "_marks",
        "_neighbours",
        "_popular",
        "_returning",
        "_scores",
        "_seeds",
        "_unit",
    )

    def __init__(
        self,
        scores: dict[str, float],
        popular: Popular = NO_POPULAR,
        *,
        unit: float = 1.0,
        seeds: Sequence[Seed] = (),
        latest: Mapping[str, Met] = MappingProxyType({}),
        neighbours: Mapping[str, Neighbours] = MappingProxyType({}),
        factors: Mapping[str, float] = MappingProxyType({}),
        returning: Collection[str] = (),
        kinds: int = 0,
        marks: Collection[int] = (),
    ) -> None:
        """`scores` and `popular.prior` are in units of `unit`; `kinds`: a bit for each kind that leaves an item out."""
        self._scores = scores
        self._popular = popular
        self._unit = unit
        self._seeds = seeds
        self._latest = latest
        self._neighbours = neighbours
        self._factors = factors
        self._returning = returning
        self._kinds = kinds
        self._marks = marks

    def best(self, count: int) -> list[str]:
        """The `count` best candidates in order, or all if there are fewer; each scores above 0."""
        marks, returning = self._marks, self._returning
        wanted = count
        while True:
            found = self._highest(wanted)
            complete = len(found) < wanted
            if marks:
                found = [item_id for item_id in found if item_id in returning or mark(item_id) not in marks]
            if complete or len(found) >= count:
                return found[:count]
            wanted *= 4

    def _highest(self, count: int) -> list[str]:
        """Popular items stand first in `scores`. The `count`-th of some of them is a bound that the `count`-th of all
        reaches too, and few do that: only those are sorted.
        """
        scores = self._scores
        some = sorted(islice(scores.values(), 2 * count), reverse=True)
        least = some[count - 1] if len(some) >= count else 0.0
        found = [item_id for item_id, score in scores.items() if score >= least and score > 0.0]
        found.sort(key=scores.__getitem__, reverse=True)
        return found[:count]

    def score(self, item_id: str) -> float:
        """0 for what is no candidate."""
        return self._scores.get(item_id, 0.0) * self._unit

    def left_out(self, item_id: str) -> bool:
        """Whether the user has it, and therefore does not get it."""
        met = self._latest.get(item_id)
        if met is not None and met.kinds & self._kinds:
            return item_id not in self._returning
        return bool(self._marks) and mark(item_id) in self._marks

    def show(self, item_id: str, *, boost: float = 1.0, explain: bool = False) -> Ranked:
        """An item as it is served; `boost` multiplies its score."""
        score = self._scores.get(item_id, 0.0)
        prior = self._popular.prior.get(item_id, 0.0)
        factor = self._factors.get(item_id, 1.0)
        source = POPULAR if prior * factor * 2.0 >= score else COVISITATION
        return Ranked(
            item_id,
            score * self._unit * boost,
            RETURN if item_id in self._returning else source,
            prior * self._unit,
            factor * boost,
            self._causes(item_id) if explain else (),
        )

    def _causes(self, item_id: str) -> tuple[Cause, ...]:
        causes = []
        for seed, weight, length in self._seeds:
            near = self._neighbours.get(seed, NO_NEIGHBOURS)
            if weight > 0.0 and item_id in near.ids[:length]:
                part = near.similarity[near.ids.index(item_id)] * weight
                causes.append(Cause(seed, self._latest[seed].kind, part))
        return tuple(nlargest(_CAUSES, causes, key=lambda cause: cause.part))
