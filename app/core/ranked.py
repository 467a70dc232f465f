"""Candidates with their scores: the best of them in order, and what each score is made of."""

from collections.abc import Collection, Mapping, Sequence
from heapq import nlargest
from types import MappingProxyType
from typing import Final

import numpy as np
from msgspec import Struct, structs

from app.core.candidates import NO_NEIGHBOURS, Neighbours
from app.core.history import Entry, seen_hash
from app.core.item_index import ItemIndex, Scores, highest

COVISITATION: Final = "covisitation"
POPULAR: Final = "popular"
REPEAT: Final = "repeat"

_CAUSES: Final = 3
_DIGITS: Final = 6


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


class Ranking:
    """Candidates with their scores. `best` puts no more in order than is asked for."""

    __slots__ = (
        "_factors",
        "_found",
        "_index",
        "_left_out",
        "_neighbours",
        "_prior",
        "_prior_weight",
        "_repeatable",
        "_seeds",
        "_seen_hashes",
        "_sums",
        "_weights",
    )

    def __init__(
        self,
        index: ItemIndex,
        sums: Scores,
        *,
        prior: Mapping[str, float] = MappingProxyType({}),
        prior_weight: float = 1.0,
        seeds: Sequence[Entry] = (),
        weights: Sequence[float] = (),
        neighbours: Mapping[str, Neighbours] = MappingProxyType({}),
        factors: Mapping[str, float] = MappingProxyType({}),
        repeatable: Collection[str] = (),
        left_out: Collection[str] = (),
        seen_hashes: Collection[int] = (),
    ) -> None:
        """`sums`: the candidates' scores, by their numbers. `seeds`, with their `weights`: the items whose neighbours
        they are. `left_out` and `seen_hashes`: what the user has.
        """
        self._index = index
        self._sums = sums
        self._prior = prior
        self._prior_weight = prior_weight
        self._seeds = seeds
        self._weights = weights
        self._neighbours = neighbours
        self._factors = factors
        self._repeatable = repeatable
        self._left_out = left_out
        self._seen_hashes = seen_hashes
        self._found: dict[str, float] = {}

    def best(self, count: int) -> list[str]:
        """The `count` best candidates in order, or all if there are fewer; each scores above 0."""
        seen_hashes, repeatable = self._seen_hashes, self._repeatable
        wanted = count
        while True:
            found = self._highest(wanted)
            complete = len(found) < wanted
            if seen_hashes:
                found = [item_id for item_id in found if item_id in repeatable or seen_hash(item_id) not in seen_hashes]
            if complete or len(found) >= count:
                return found[:count]
            wanted *= 4

    def _highest(self, count: int) -> list[str]:
        """Of equal scores the lesser id comes first: the numbers are those of this process."""
        numbers = highest(self._sums, count)
        scores = self._sums.take(numbers)
        order = scores.argsort()[::-1]
        item_ids = [self._index.ids[number] for number in numbers.take(order).tolist()]
        found = dict(zip(item_ids, scores.take(order).tolist(), strict=True))
        if len(set(found.values())) < len(found):  # which is rare, and sorting by both takes longer than all the rest
            found = dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))
        self._found = found
        return list(found)[:count]

    def score(self, item_id: str) -> float:
        """0 for what is no candidate."""
        score = self._found.get(item_id)
        if score is None:
            number = self._index.find(item_id)
            score = 0.0 if number is None else float(self._sums[number])
        return score

    def scores(self, item_ids: Sequence[str]) -> list[float]:
        try:
            return list(map(self._found.__getitem__, item_ids))
        except KeyError:  # one that `best` did not come to: pinned, new, or of the catalogue
            return list(map(self.score, item_ids))

    def left_out(self, item_id: str) -> bool:
        """Whether the user has it, and therefore does not get it."""
        return item_id in self._left_out or (
            bool(self._seen_hashes) and item_id not in self._repeatable and seen_hash(item_id) in self._seen_hashes
        )

    def sources(self, item_ids: Sequence[str], scores: Sequence[float]) -> list[str]:
        """Where most of the score of each comes from."""
        prior, factors, repeatable, half = self._prior, self._factors, self._repeatable, 2.0 * self._prior_weight
        return [
            REPEAT
            if item_id in repeatable
            else POPULAR
            if item_id in prior and prior[item_id] * half * factors.get(item_id, 1.0) >= score
            else COVISITATION
            for item_id, score in zip(item_ids, scores, strict=True)
        ]

    def show(self, item_id: str, *, boost: float = 1.0) -> Ranked:
        """An item and what its score is made of; `boost` multiplies it."""
        score = self.score(item_id)
        return Ranked(
            item_id,
            score * boost,
            self.sources([item_id], [score])[0],
            self._prior.get(item_id, 0.0) * self._prior_weight,
            self._factors.get(item_id, 1.0) * boost,
            self._causes(item_id),
        )

    def _causes(self, item_id: str) -> tuple[Cause, ...]:
        number = self._index.find(item_id)
        causes = []
        for seed, weight in zip(self._seeds, self._weights, strict=True):
            near = self._neighbours.get(seed.item_id, NO_NEIGHBOURS)
            places = (np.frombuffer(near.numbers, np.int32) == number).nonzero()[0]
            if weight > 0.0 and len(places):
                similarity = float(np.frombuffer(near.similarities, np.float32)[places[0]])
                causes.append(Cause(seed.item_id, seed.kind, similarity * weight))
        return tuple(nlargest(_CAUSES, causes, key=lambda cause: cause.part))


def rounded(values: Sequence[float]) -> list[float]:
    """To the digits that are shown. One operation for all: `round` takes as long for two."""
    found: list[float] = np.fromiter(values, np.float64, len(values)).round(_DIGITS).tolist()
    return found
