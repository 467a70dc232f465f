"""The second stage of ranking: the candidates' scores by weights, and what each score is made of."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np

from app.core.accumulators import BY_OWN, Values
from app.core.candidates import Candidates
from app.core.item_index import ItemIndex, Numbers
from app.core.ranked import NOT_RANKED, Exclusions, Ranked, Rows
from app.core.slate import CONTENT, COVISITATION, POPULAR, REPEAT
from app.core.weights import FEATURES

Repeats = Literal["avoid", "learned", "only", "allow"]
"""Whether the user's own items may be in a list: none of them, where the weights place them well, no others, or all."""

# By what carried a candidate: `BY_ITEM`, `BY_LISTS`, `BY_OWN`.
_SOURCES: Final = (POPULAR, COVISITATION, REPEAT)
# Where all candidates are left out there is no best one.
LEAST_LOGARITHM: Final = np.float32(-1e30)


class Ranking:
    """Scores candidates for one user. A score is the softmax's: how likely the candidate is beside the best one, which
    has 1, times the factors of rules.
    """

    def __init__(self, index: ItemIndex, candidates: Candidates, weights: Values, item_scores: Values) -> None:
        """`weights`: of the user's size of history. `item_scores`: as in `Candidates.scores`."""
        self._index = index
        self._candidates = candidates
        self._weights = weights
        self._item_scores = item_scores
        self._logarithms = np.empty(0, np.float32)

    def ranked(
        self,
        factors: Mapping[str, float],
        without: Sequence[int],
        repeats: Repeats,
        exclusions: Exclusions,
        among: Numbers | None = None,
        matches: Numbers | None = None,
    ) -> Ranked:
        """`factors`: by item. `without`: item numbers. `among`: the only item numbers that are ranked, those
        of them of which something is known; None: all. `matches`: item numbers that are candidates since they match a
        filter; those of which nothing is known are not ranked.
        """
        candidates = self._candidates
        if repeats in ("only", "allow"):
            scores = candidates.scores(self._weights, self._item_scores, least_own=-np.inf)
            if repeats == "only":
                scores[np.delete(np.arange(len(scores)), candidates.own_rows)] = -np.inf
        else:
            scores = candidates.scores(self._weights, self._item_scores)
            if repeats == "avoid":
                scores[candidates.own_rows] = -np.inf
        if without:
            scores[candidates.rows_of(without)] = -np.inf
        if among is not None:
            # Named items are candidates whether anything is known of them or not.
            rows = candidates.rows_of(among)
            known = rows[candidates.features(rows).any(axis=1)]
            others = np.ones(len(scores), np.bool_)
            others[known] = False
            scores[others] = -np.inf
        if matches is not None:
            rows = candidates.rows_of(matches)
            rows = rows[scores[rows] == 0.0]  # as those have it of which nothing is known, and hardly any other
            scores[rows[~candidates.features(rows).any(axis=1)]] = -np.inf
        self._logarithms = scores
        best = scores[scores.argmax()] if len(scores) else LEAST_LOGARITHM
        scores = scores - max(best, LEAST_LOGARITHM)
        np.exp(scores, out=scores)
        for item_id, factor in factors.items():
            if (row := candidates.row_of(item_id)) is not None:
                scores[row] *= factor
        return Ranked(self._index, candidates.numbers, scores, exclusions)

    def sources(self, rows: Rows) -> list[str]:
        """What carried the candidates in these rows to their places; `NOT_RANKED`: an item that is not among them."""
        carried = self._candidates.carried_by(rows, self._weights, self._logarithms)
        found = list(map(_SOURCES.__getitem__, carried))
        for place in self._candidates.led_by_content(rows, self._weights, self._logarithms):
            if rows[place] != NOT_RANKED and carried[place] != BY_OWN:
                found[place] = CONTENT
        return found

    def terms(self, row: int | None) -> dict[str, float]:
        """What each feature adds to the logarithm of the candidate's score; empty for an item that is none."""
        if row is None:
            return {}
        terms = self._candidates.features([row])[0] * self._weights
        return {name: term for name, term in zip(FEATURES, terms.tolist(), strict=True) if term}
