"""What an answer asks for while it is made, and what it is sent for each: see `app/core/serving.py`."""

from collections.abc import Collection, Sequence
from typing import Final, TypeAlias

from msgspec import Struct

FALLBACK_LIMIT: Final = 2_500
"""The most that `FallbackOf` is sent. A user's own items, 1,000 excluded ones and an answer of 200 leave some."""


class NeighboursOf(Struct, frozen=True):
    """Is sent a mapping with the `Neighbours` of each of the items. `partial`: with `NO_NEIGHBOURS` for those that
    are not at hand, where waiting for them would take long.
    """

    item_ids: Sequence[str]
    partial: bool = True


class CardsOf(Struct, frozen=True):
    """Is sent a mapping with a `Card` for each of the items: `UNKNOWN` for what is not in the catalogue."""

    item_ids: Collection[str]


class CurrentRules(Struct, frozen=True):
    """Is sent the `Rules`."""


class PopularIn(Struct, frozen=True):
    """Is sent the `Popular` items of the category; None: of all."""

    category: str | None


class ExplorationPoolOf(Struct, frozen=True):
    """Is sent the `ExplorationPool` of the category; None: of all."""

    category: str | None


class FallbackOf(Struct, frozen=True):
    """Is sent the items of the category (None: of all) that fill a page when nothing else does, in order."""

    category: str | None


class ChanceFrom(Struct, frozen=True):
    """Is sent an `exploration.Chance` that gives the same numbers whenever it is made from this seed."""

    seed: str


Need: TypeAlias = NeighboursOf | CardsOf | CurrentRules | PopularIn | ExplorationPoolOf | FallbackOf | ChanceFrom
