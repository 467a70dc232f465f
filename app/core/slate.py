"""From candidates in order to the places of an answer: what may be served, what is pinned, how much of one category.

A place takes the first of: the item that a rule pins there, the new item that is tried out there, the best candidate
that is left. Nothing is served twice, and nothing that is hidden, expired or excluded, by whatever way it came.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Final

from msgspec import Struct

from app.core.catalogue import Card
from app.core.exploration import EXPLORE

PINNED: Final = "pinned"
RANKED: Final = "ranked"
CATALOGUE: Final = "catalogue"
"""The last step of the ladder: what is servable, although nothing speaks for it."""


class Wish(Struct, frozen=True, kw_only=True):
    """What an answer has to look like.

    `most`: of one category at the most, an item of several counts in each. `spread` is the same, but gives way where
    the answer would be short otherwise. `pins`: place (from 1) and item. `newcomers`: place (from 0) and item.
    """

    k: int
    now_ms: int
    category: str | None = None
    exclude: Collection[str] = frozenset()
    most: int | None = None
    spread: int | None = None
    pins: Sequence[tuple[int, str]] = ()
    newcomers: Mapping[int, str] = {}


class Slate:
    """Fills the places. `offer` takes candidates in order, as often as there are more of them."""

    def __init__(self, wish: Wish, cards: Mapping[str, Card]) -> None:
        """`cards` may grow from offer to offer; it has those of the pins and the newcomers already."""
        self._wish = wish
        self._cards = cards
        self._places: dict[int, tuple[str, str]] = {}
        self._taken: set[str] = set()
        self._of_category: defaultdict[str, int] = defaultdict(int)
        self._put_off: list[tuple[str, str]] = []
        for place, item_id in wish.pins:
            self._reserve(place - 1, item_id, PINNED)
        for place, item_id in wish.newcomers.items():
            self._reserve(place, item_id, EXPLORE)

    @property
    def missing(self) -> int:
        return self._wish.k - len(self._places)

    def offer(self, item_ids: Iterable[str], source: str = RANKED) -> None:
        """Gives the free places to those that may have them, in order."""
        self._fill(zip(item_ids, repeat(source)), self._wish.spread)

    def relax(self) -> None:
        """Gives free places to what `spread` kept back."""
        put_off, self._put_off = self._put_off, []
        self._fill(put_off, None)

    def places(self) -> list[tuple[str, str]]:
        """Item and source (`RANKED` for what has another), in the order of the places, without holes."""
        return [self._places[place] for place in sorted(self._places)]

    def _reserve(self, place: int, item_id: str, source: str) -> None:
        if place < self._wish.k and place not in self._places:
            self._fill([(item_id, source)], None, place)

    def _fill(self, offered: Iterable[tuple[str, str]], spread: int | None, place: int = 0) -> None:
        """Gives the free places from `place` on to those that may be served."""
        wish, cards, places, taken = self._wish, self._cards, self._places, self._taken
        now_ms, category, exclude = wish.now_ms, wish.category, wish.exclude
        bounded, missing = wish.most is not None or wish.spread is not None, self.missing
        for pair in offered:
            if not missing:
                return
            item_id = pair[0]
            card = cards[item_id]
            if item_id in taken or item_id in exclude or not card.servable(now_ms, category):
                continue
            if bounded:
                if self._crowded(card, wish.most):
                    continue
                if self._crowded(card, spread):
                    self._put_off.append(pair)
                    continue
                for name in card.categories:
                    self._of_category[name] += 1
            while place in places:
                place += 1
            places[place] = pair
            taken.add(item_id)
            missing -= 1

    def _crowded(self, card: Card, most: int | None) -> bool:
        """An answer to `category=c` is all of c: that one has no bound."""
        return most is not None and any(
            self._of_category[category] >= most for category in card.categories if category != self._wish.category
        )
