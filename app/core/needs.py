"""What an answer asks for while it is made, and what it is sent for each: see `app/core/serving.py`."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, TypeAlias

from msgspec import Struct

from app.core.content_index import ContentIndex
from app.core.exploration import ExplorationPool
from app.core.filters import Filter
from app.core.neighbours import Neighbours
from app.core.page_cursor import CataloguePosition
from app.core.popularity import Popular
from app.core.recommendation import RecommendationRequest
from app.core.rules import Rules
from app.core.weights import Weights

FALLBACK_LIMIT: Final = 2_500
"""The most that `FallbackOf` is sent. A user's own items, 1,000 excluded ones and an answer of 200 leave some."""


class RankingInputs(Struct, frozen=True):
    """What a user's candidates are ranked by. `neighbours`: of each item that was named. `content`: of the catalogue,
    or None.
    """

    neighbours: Mapping[str, Neighbours]
    popular: Popular
    weights: Weights
    model_version: str
    rules: Rules
    pool: ExplorationPool
    content: ContentIndex | None = None


class RankingInputsFor(Struct, frozen=True):
    """Is sent `RankingInputs` for the seeds in answers to the category (None: to no category), once the table has the
    sums of the user's `own` items.

    `weights`, or the `version` of a model: what ranks instead of the weights that serve.

    One need instead of four: each costs a microsecond. Seeds whose neighbours are not at hand may have `NO_NEIGHBOURS`
    where waiting for them would take long, and some of the `own` may not be in the table. Without `explore` the pool
    may be empty.
    """

    seeds: Sequence[str]
    own: Collection[str]
    category: str | None
    explore: bool
    weights: Weights | None = None
    version: int | None = None


class NumbersOf(Struct, frozen=True):
    """Is sent the numbers of these items in the table, which has their sums then."""

    item_ids: Sequence[str]


class NeighboursOf(Struct, frozen=True):
    """Is sent the `Neighbours` of the item."""

    item_id: str


class AlikeTo(Struct, frozen=True):
    """Is sent what is `Alike` to the item by its content."""

    item_id: str


class BoughtWith(Struct, frozen=True):
    """Is sent the `Baskets` that hold the item."""

    item_id: str


class PopularIn(Struct, frozen=True):
    """Is sent the `Popular` items of the category; None: of all."""

    category: str | None


class CurrentRules(Struct, frozen=True):
    """Is sent the `Rules`."""


class CurrentEventTypes(Struct, frozen=True):
    """Is sent the `EventTypes`."""


class CardsOf(Struct, frozen=True):
    """Is sent a mapping with a `Card` for each of the items: `UNKNOWN` or `NEVER_SERVED` for what is not in
    the catalogue."""

    item_ids: Collection[str]


class FallbackOf(Struct, frozen=True):
    """Is sent the items of the category (None: of all) that fill a page when nothing else does, in order."""

    category: str | None


class CatalogueAfter(Struct, frozen=True):
    """Is sent up to `limit` positions of servable items of the category (None: of all), newest first, from behind
    `after` (None: from the first).
    """

    category: str | None
    after: CataloguePosition | None
    limit: int


class MatchesOf(Struct, frozen=True):
    """Is sent the `Matches` of the filter among the items that may be served in the list that is asked for, on this
    page; or None while the index is made.
    """

    filter: Filter
    request: RecommendationRequest


class ChanceFrom(Struct, frozen=True):
    """Is sent an `exploration.Chance` that gives the same numbers whenever it is made from this seed."""

    seed: str


Need: TypeAlias = (
    RankingInputsFor
    | NumbersOf
    | NeighboursOf
    | AlikeTo
    | BoughtWith
    | PopularIn
    | CurrentRules
    | CurrentEventTypes
    | CardsOf
    | FallbackOf
    | CatalogueAfter
    | MatchesOf
    | ChanceFrom
)
