"""The second stage of ranking: the candidates' scores by weights, and what each score is made of."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from app.core.candidates import Scored
from app.core.item_index import ItemIndex
from app.core.ranking import Lists
from app.core.weights import ABSENCE, FEATURES, FROM_ITEM, FROM_NEIGHBOURS, FROM_OWN

COVISITATION: Final = "covisitation"
POPULAR: Final = "popular"
REPEAT: Final = "repeat"

Repeats = Literal["avoid", "learned", "only"]
"""Whether the user's own items may be in a list: none of them, as the weights say, or no others."""

# A score below this share of the best is as good as none, and its exponential would be 0.
_LEAST_LOGARITHM: Final = -50.0


class UserRanking:
    """Scores candidates for one user. A score is the softmax's: how likely the candidate is beside the best one, which
    has 1, times the factors of rules.
    """

    def __init__(
        self,
        index: ItemIndex,
        lists: Lists,
        weights: NDArray[np.float64],
        *,
        least: int,
        factors: Mapping[str, float],
        without: Sequence[int],
        repeats: Repeats,
    ) -> None:
        """`weights`: of the user's size of history. `least`: so many candidates are looked at. `factors`: by item.
        `without`: item numbers.
        """
        self._index = index
        self._lists = lists
        self._weights = weights
        self._least = least
        self._factors = factors
        self._without = without
        self._repeats = repeats
        self._best: float | None = None
        self._row_of: dict[str, int] = {}
        self._terms = np.zeros((0, len(FEATURES)))

    def rank(self, count: int) -> Scored:
        """At least `count` candidates, or all there are."""
        without = self._without
        if self._repeats == "avoid":
            without = [*without, *self._lists.own_numbers]
        found = self._lists.best(max(self._least, count), without)
        numbers, values = found.numbers, found.values
        if self._repeats != "learned":
            own = values[:, FROM_OWN.start] > 0.0
            kept = own if self._repeats == "only" else ~own
            numbers, values = numbers[kept], values[kept]
        terms = values * self._weights
        logarithms = terms.sum(axis=1)
        if self._best is None:
            self._best = float(logarithms.max(initial=-np.inf))
        scores = np.exp(np.clip(logarithms - self._best, _LEAST_LOGARITHM, None))
        ids = self._index.ids
        self._terms = terms
        self._row_of = {ids[number]: row for row, number in enumerate(numbers.tolist())}
        for item_id, factor in self._factors.items():
            if (place := self._row_of.get(item_id)) is not None:
                scores[place] *= factor
        return Scored(numbers, scores)

    def sources(self, item_ids: Sequence[str]) -> list[str]:
        """What carried each of the items to its place."""
        return [self._source(item_id) for item_id in item_ids]

    def terms(self, item_id: str) -> dict[str, float]:
        """What each feature adds to the logarithm of the item's score; empty for an item that was not ranked."""
        row = self._row_of.get(item_id)
        if row is None:
            return {}
        return {name: term for name, term in zip(FEATURES, self._terms[row].tolist(), strict=True) if term}

    def _source(self, item_id: str) -> str:
        row = self._row_of.get(item_id)
        if row is None:
            return POPULAR
        terms = self._terms[row]
        if terms[FROM_OWN].any():
            return REPEAT
        near = terms[FROM_NEIGHBOURS].sum()
        return COVISITATION if near > 0.0 and near >= terms[FROM_ITEM].sum() + terms[ABSENCE] else POPULAR
