"""What a recommendation request says, and what answers it."""

from collections.abc import Iterable, Sequence

from msgspec import UNSET, Struct, UnsetType

from app.core.filters import Filter
from app.core.history import seen_hash
from app.core.ranking import Repeats


class RecommendationRequest(Struct, frozen=True, kw_only=True):
    """What is asked for. `max_per_category`: at most so many items of one category. `filter`: only items that it keeps.

    `explain` covers the first 200 places. For a user only: `repeats`, and `among`, the only items that may be in
    the answer (None: all), and `pins`, whether rules may pin. `shown`: the `seen_hash` of what earlier pages had; None:
    the list has no pages.
    """

    k: int
    now_ms: int
    exclude: frozenset[str] = frozenset()
    category: str | None = None
    max_per_category: int | None = None
    filter: Filter | None = None
    explain: bool = False
    repeats: Repeats = "learned"
    among: Sequence[str] | None = None
    pins: bool = True
    shown: frozenset[int] | None = None

    def shown_among(self, item_ids: Iterable[str]) -> frozenset[str]:
        """Those of these items that earlier pages had."""
        return frozenset(i for i in item_ids if seen_hash(i) in self.shown) if self.shown else frozenset()


class ScoreParts(Struct):
    """What the score is made of. `features`: what each adds to its logarithm; the best item's sum stands for 1.
    `factor`: what rules multiply it by.
    """

    features: dict[str, float]
    factor: float


class RecommendedItem(Struct, omit_defaults=True, gc=False):
    """One place of the answer. `picture_url`: the attribute of this name, where it is an https URL or a path.

    With `explain=true` also `because` (the user's items that led here), `parts`, `why`, and `rules`: the ids of the
    rules that moved it.
    """

    item_id: str
    score: float
    source: str
    title: str | None = None
    picture_url: str | None = None
    because: list[str] | UnsetType = UNSET
    parts: ScoreParts | UnsetType = UNSET
    why: str | UnsetType = UNSET
    rules: list[str] | UnsetType = UNSET


class Recommendation(Struct, frozen=True):
    """`strategy`: the source that most places have. `model_version` names what ranked."""

    items: Sequence[RecommendedItem]
    strategy: str
    model_version: str
