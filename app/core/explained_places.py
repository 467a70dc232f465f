"""The explanations of an answer's places, and the digits that are shown."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from app.core.boosts import Boosts
from app.core.catalogue import Card
from app.core.event_types import NO_OWN_TYPES, EventTypes
from app.core.explanation import Explainer, by_rule, in_words, names_of
from app.core.needs import CardsOf, CurrentEventTypes, Need
from app.core.recommendation import RecommendedItem, ScoreParts
from app.core.rules import Rules
from app.core.slate import PINNED

MOST_EXPLAINED: Final = 200
"""Of one answer: an explanation takes as long as some twenty places."""

# Six digits are shown.
_SCALE: Final = 1e6


class Reason(Struct, frozen=True):
    """Why an item is in a list that no weights rank: the beginning of a sentence, and the items whose titles end it."""

    says: str
    because: Sequence[str] = ()


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
    types: EventTypes = (yield CurrentEventTypes()) if causes else NO_OWN_TYPES
    for item, one in zip(items, found, strict=True):
        item.because = one.because
        item.parts = ScoreParts(dict(zip(one.terms, rounded(one.terms.values()), strict=True)), one.factor)
        item.why = in_words(one, titles, category, types)


def explain_counted(
    items: Sequence[RecommendedItem], reason_of: Callable[[RecommendedItem], Reason], boosts: Boosts | None
) -> Generator[Need, Any, None]:
    """Adds `because`, `parts` and `why` to these items. No feature has a part in their scores."""
    reasons = [reason_of(item) for item in items]
    named: Mapping[str, Card] = yield CardsOf({item_id for reason in reasons for item_id in reason.because})
    for item, reason in zip(items, reasons, strict=True):
        factor = 1.0 if boosts is None else boosts.factors.get(item.item_id, 1.0)
        titles = names_of([named[item_id].title or item_id for item_id in reason.because]) if reason.because else ""
        item.because = list(reason.because)
        item.parts = ScoreParts({}, factor)
        item.why = f"{reason.says} {titles}".rstrip() + "." + by_rule(factor)


def name_rules(
    items: Sequence[RecommendedItem], rules: Rules, now_ms: int, category: str | None
) -> Generator[Need, Any, None]:
    """Adds `rules` to these items."""
    cards: Mapping[str, Card] = (yield CardsOf([item.item_id for item in items])) if rules else {}
    for item in items:
        pinned = item.source == PINNED
        item.rules = (
            rules.acting_on(item.item_id, cards[item.item_id], now_ms, category, pinned=pinned) if rules else []
        )


def rounded(values: Iterable[float]) -> list[float]:
    """To the digits that are shown, as numpy rounds; the built-in `round` takes four times as long to digits."""
    return [round(value * _SCALE) / _SCALE for value in values]
