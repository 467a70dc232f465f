"""The second stage of ranking: the candidates' scores by weights, and what each score is made of."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from app.core.candidates import Candidates
from app.core.item_index import ItemIndex
from app.core.ranked import Exclusions, Ranked
from app.core.weights import ABSENCE, FEATURES, FROM_ITEM, FROM_NEIGHBOURS, FROM_OWN

COVISITATION: Final = "covisitation"
POPULAR: Final = "popular"
REPEAT: Final = "repeat"

Repeats = Literal["avoid", "learned", "only"]
"""Whether the user's own items may be in a list: none of them, as the weights say, or no others."""

# Below this the exponential of a float32 is 0, and an item without a score is left out.
_LEAST_LOGARITHM: Final = -80.0


class Ranking:
    """Scores candidates for one user. A score is the softmax's: how likely the candidate is beside the best one, which
    has 1, times the factors of rules.
    """

    def __init__(
        self,
        index: ItemIndex,
        candidates: Candidates,
        weights: NDArray[np.float32],
        item_scores: NDArray[np.float32] | None = None,
    ) -> None:
        """`weights`: of the user's size of history. `item_scores`: as in `Candidates.scores`."""
        self._index = index
        self._candidates = candidates
        self._weights = weights
        self._item_scores = item_scores

    def ranked(
        self, factors: Mapping[str, float], without: Sequence[int], repeats: Repeats, exclusions: Exclusions
    ) -> Ranked:
        """`factors`: by item. `without`: item numbers."""
        candidates = self._candidates
        if repeats == "only":
            scores = candidates.scores(self._weights, self._item_scores, least_own=-np.inf)
            scores[np.delete(np.arange(len(scores)), candidates.own_rows)] = -np.inf
        else:
            scores = candidates.scores(self._weights, self._item_scores)
            if repeats == "avoid":
                scores[candidates.own_rows] = -np.inf
        if without:
            scores[candidates.rows_of(without)] = -np.inf
        left_out = scores == -np.inf
        scores -= scores.max(initial=_LEAST_LOGARITHM)
        np.maximum(scores, _LEAST_LOGARITHM, out=scores)
        np.exp(scores, out=scores)
        scores[left_out] = 0.0
        for item_id, factor in factors.items():
            if (number := self._index.find(item_id)) is not None:
                scores[candidates.rows_of([number])] *= factor
        return Ranked(self._index, candidates.numbers, scores, exclusions)

    def sources(self, rows: Sequence[int | None]) -> list[str]:
        """What carried the candidates in these rows to their places; None: an item that is not among them."""
        there = [row for row in rows if row is not None]
        features = self._candidates.features(there)
        terms = features * self._weights
        near = terms[:, FROM_NEIGHBOURS].sum(axis=1)
        by_near = (near > 0.0) & (near >= terms[:, FROM_ITEM].sum(axis=1) + terms[:, ABSENCE])
        found = np.where(features[:, FROM_OWN.start] > 0.0, REPEAT, np.where(by_near, COVISITATION, POPULAR))
        sources = iter(found.tolist())
        return [POPULAR if row is None else next(sources) for row in rows]

    def terms(self, row: int | None) -> dict[str, float]:
        """What each feature adds to the logarithm of the candidate's score; empty for an item that is none."""
        if row is None:
            return {}
        terms = self._candidates.features([row])[0] * self._weights
        return {name: term for name, term in zip(FEATURES, terms.tolist(), strict=True) if term}
