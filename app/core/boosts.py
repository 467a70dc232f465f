"""The scores of candidates times what rules say of their categories and tags."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Final

from app.core.catalogue import Card
from app.core.ranked import Ranked
from app.core.rules import Rules

_score: Final = itemgetter(0)
# Where rules bury and none raises, the buried wait until so many candidates were looked at.
_DEEP: Final = 1_000


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
        self._greatest = rules.greatest_factor(now_ms, category, with_items=not applied)
        self._waiting: list[tuple[float, str]] = []
        self._has_waited = False
        self.factors: dict[str, float] = {}
        """Item → what its score is multiplied by, of those that were looked at."""

    def factor(self, item_id: str, card: Card) -> float:
        """What the candidate's score is still to be multiplied by; 0: never serve the item."""
        return self._rules.factor(item_id, card, self._now_ms, self._category) / (self._applied.get(item_id) or 1.0)

    def due(self, fresh: Sequence[str], cards: Mapping[str, Card], last: str | None) -> list[str]:
        """Of these candidates and those that wait since the call before: the ones that are behind no candidate that is
        still to come, in order. `last`: what is still to come ranks behind it; None: nothing comes.

        The others wait: once where rules raise, for with many of them hardly any score is so low that none could lift
        it to the front; and where rules only bury, until `_DEEP` candidates were looked at.
        """
        found = self._waiting + self._boosted(fresh, cards)
        found.sort(key=_score, reverse=True)
        wait = not self._has_waited or (self._greatest == 1.0 and len(self.factors) < _DEEP)
        least = self._ranked.score(last) * self._greatest if wait and last is not None else 0.0
        self._has_waited = True
        count = next((place for place, (score, _) in enumerate(found) if score < least), len(found))
        self._waiting = found[count:]
        return [item_id for _, item_id in found[:count]]

    def ordered(self, item_ids: Sequence[str], cards: Mapping[str, Card]) -> list[str]:
        """By score times factor, best first, without those whose factor is 0."""
        return [item_id for _, item_id in sorted(self._boosted(item_ids, cards), key=_score, reverse=True)]

    def _boosted(self, item_ids: Sequence[str], cards: Mapping[str, Card]) -> list[tuple[float, str]]:
        """Each with its score times its factor, without those whose factor is 0."""
        factors = {item_id: self.factor(item_id, cards[item_id]) for item_id in item_ids}
        self.factors.update(factors)
        score = self._ranked.score
        return [(score(item_id) * factor, item_id) for item_id, factor in factors.items() if factor > 0.0]
