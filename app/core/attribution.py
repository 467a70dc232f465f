"""Which part of the ranking most of a candidate's score comes from: the source that every recommended item names."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct

COVISITATION: Final = "covisitation"
POPULAR: Final = "popular"
REPEAT: Final = "repeat"


class Attribution(Struct, frozen=True):
    """What scores were made of, by item.

    `prior` times `prior_weight` is the popularity in a score; `factors` multiplied it; `repeatable` items are offered
    again. What is in none of these has its score from similarity alone.
    """

    prior: Mapping[str, float] = {}
    prior_weight: float = 1.0
    factors: Mapping[str, float] = {}
    repeatable: Collection[str] = ()

    def sources(self, item_ids: Sequence[str], scores: Sequence[float]) -> list[str]:
        """One for each item, given its score."""
        prior, factors, repeatable, half = self.prior, self.factors, self.repeatable, 2.0 * self.prior_weight
        return [
            REPEAT
            if item_id in repeatable
            else POPULAR
            if item_id in prior and prior[item_id] * half * factors.get(item_id, 1.0) >= score
            else COVISITATION
            for item_id, score in zip(item_ids, scores, strict=True)
        ]

    def popularity(self, item_id: str) -> float:
        """The part of the score that is popularity, before `factors`."""
        return self.prior.get(item_id, 0.0) * self.prior_weight

    def factor(self, item_id: str) -> float:
        """What the score was multiplied by."""
        return self.factors.get(item_id, 1.0)
