"""The explanations of an answer's places, and the digits that are shown."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from app.core.boosts import Boosts
from app.core.catalogue import Card
from app.core.explanation import Explainer, in_words
from app.core.needs import CardsOf, Need
from app.core.recommendation import RecommendedItem, ScoreParts

MOST_EXPLAINED: Final = 200
"""Of one answer: an explanation takes as long as some twenty places."""

_DIGITS: Final = 6


def explain_places(
    items: Sequence[RecommendedItem],
    explainer: Explainer,
    factors: Mapping[str, float],
    boosts: Boosts | None,
    category: str | None,
) -> Generator[Need, Any, None]:
    """Adds `because`, `parts` and `why` to these items."""

    def factor(item_id: str) -> float:
        return factors.get(item_id, 1.0) * (1.0 if boosts is None else boosts.factors.get(item_id, 1.0))

    found = [explainer.explain(item.item_id, item.source, item.score, factor(item.item_id)) for item in items]
    causes: Mapping[str, Card] = yield CardsOf({cause.item_id for one in found for cause in one.causes})
    titles = {item_id: card.title for item_id, card in causes.items()}
    for item, one in zip(items, found, strict=True):
        item.because = [cause.item_id for cause in one.causes]
        item.parts = ScoreParts(dict(zip(one.terms, rounded(list(one.terms.values())), strict=True)), one.factor)
        item.why = in_words(one, titles, category)


def rounded(values: Sequence[float]) -> list[float]:
    """To the digits that are shown. One operation for all: `round` takes as long for two."""
    found: list[float] = np.fromiter(values, np.float64, len(values)).round(_DIGITS).tolist()
    return found
