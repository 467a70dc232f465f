"""The scores of candidates times what rules say of their categories and tags."""

from collections.abc import Mapping, Sequence

from app.core.catalogue import Card
from app.core.ranked import Ranked
from app.core.rules import Rules


class Boosts:
    """Rules that name categories or tags, for one answer: they act once an item's card is known.

    The ranking has already multiplied by the rules that name items (`Rules.boosted_items`), in `applied`.
    """

    def __init__(
        self, rules: Rules, ranked: Ranked, applied: Mapping[str, float], *, now_ms: int, category: str | None
    ) -> None:
        self._rules = rules
        self._ranked = ranked
        self._applied = applied
        self._now_ms = now_ms
        self._category = category
        self.factors: dict[str, float] = {}
        """Item → what its score is multiplied by, of those that were in `ordered`."""

    def factor(self, item_id: str, card: Card) -> float:
        """What the candidate's score is still to be multiplied by; 0: never serve the item."""
        return self._rules.factor(item_id, card, self._now_ms, self._category) / (self._applied.get(item_id) or 1.0)

    def ordered(self, item_ids: Sequence[str], cards: Mapping[str, Card]) -> list[str]:
        """By score times factor, best first, without those whose factor is 0."""
        factors = {item_id: self.factor(item_id, cards[item_id]) for item_id in item_ids}
        self.factors.update(factors)
        kept = [item_id for item_id, factor in factors.items() if factor > 0.0]
        return sorted(kept, key=lambda item_id: self._ranked.score(item_id) * factors[item_id], reverse=True)
