"""From candidates in order to the places of an answer: what may be served, what is pinned, how much of one category.

A place takes the first of: the item that a rule pins there, the new item that is tried out there, the best candidate
that is left. Nothing is served twice, and nothing that is hidden, expired or excluded.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final

from msgspec import Struct

from app.core.catalogue import Card
from app.core.exploration import EXPLORE
from app.core.filters import Filter

COVISITATION: Final = "covisitation"
CONTENT: Final = "content"
POPULAR: Final = "popular"
REPEAT: Final = "repeat"
PINNED: Final = "pinned"
RANKED: Final = "ranked"
CATALOGUE: Final = "catalogue"
"""The last step of the ladder: what is servable, although nothing speaks for it."""

# So many cards are looked at together: no more than most pages need, and few of a long list when few places are free.
_AT_ONCE: Final = 50


class PageConstraints(Struct, frozen=True, kw_only=True):
    """What a page of items must satisfy.

    `max_per_category` bounds the items of one category; an item of several categories counts in each.
    `soft_max_per_category` is the same bound, given up where the page would be short otherwise. `filter`: only items
    that it keeps. `pins`: place (from 1) and item, in the order of precedence. `explored`: place
    (from 0) and item.
    """

    k: int
    now_ms: int
    category: str | None = None
    exclude: Collection[str] = frozenset()
    filter: Filter | None = None
    max_per_category: int | None = None
    soft_max_per_category: int | None = None
    pins: Sequence[tuple[int, str]] = ()
    explored: Mapping[int, str] = {}


class Slate:
    """Fills the places. `offer` takes candidates in order, as often as there are more of them."""

    def __init__(self, constraints: PageConstraints, cards: Mapping[str, Card]) -> None:
        """`cards` may grow from offer to offer; it has those of the pins and the explored already."""
        self._constraints = constraints
        self._cards = cards
        self._reserved: dict[int, str] = {}
        self._filled: list[str] = []  # of the other places, in order
        self._taken: set[str] = set()
        self._of_category: defaultdict[str, int] = defaultdict(int)
        self._put_off: list[tuple[str, str]] = []
        self.sources: dict[str, str] = {}
        """Of the items that are not `RANKED`."""
        self.missing = constraints.k
        """How many places are free."""
        if constraints.pins or constraints.explored:
            self._reserve_places()

    def _reserve_places(self) -> None:
        pins, explored = self._constraints.pins, self._constraints.explored
        kept = self._kept([*(item_id for _, item_id in pins), *explored.values()])
        for place, item_id in pins:
            if item_id in kept:
                self._reserve(self._free_from(place - 1), item_id, PINNED)
        for place, item_id in explored.items():
            if item_id in kept:
                self._reserve(place, item_id, EXPLORE)

    def offer(self, item_ids: Sequence[str], source: str = RANKED) -> None:
        """Gives the free places to those that may have them, in order. Ranked ones are there once each."""
        if source != RANKED:
            item_ids = list(dict.fromkeys(item_ids))
        self._fill(self._kept(item_ids), source, self._constraints.soft_max_per_category)

    def relax(self) -> None:
        """Gives free places to what `soft_max_per_category` kept back."""
        put_off, self._put_off = self._put_off, []
        for source, of_source in groupby(put_off, itemgetter(1)):
            self._fill([item_id for item_id, _ in of_source], source, None)

    def item_ids(self) -> list[str]:
        """In the order of the places, without holes."""
        if not self._reserved:
            return self._filled
        others = iter(self._filled)
        places = [self._reserved.get(place) or next(others, None) for place in range(self._constraints.k)]
        return [item_id for item_id in places if item_id is not None]

    def _free_from(self, place: int) -> int:
        """Pins of one place follow each other."""
        while place in self._reserved:
            place += 1
        return place

    def _kept(self, item_ids: Sequence[str]) -> Sequence[str]:
        """Those that the filter keeps."""
        wanted, now_ms = self._constraints.filter, self._constraints.now_ms
        return item_ids if wanted is None or not item_ids else wanted.kept(item_ids, self._cards, now_ms)

    def _reserve(self, place: int, item_id: str, source: str) -> None:
        if place < self._constraints.k and place not in self._reserved:
            self._reserved.update((place, found) for found in self._take([item_id], source, None))

    def _fill(self, item_ids: Sequence[str], source: str, soft_max_per_category: int | None) -> None:
        """Gives the free places to those that may be served."""
        for start in range(0, len(item_ids), _AT_ONCE):
            if not self.missing:
                return
            self._filled += self._take(item_ids[start : start + _AT_ONCE], source, soft_max_per_category)

    def _take(self, item_ids: Sequence[str], source: str, soft_max_per_category: int | None) -> list[str]:
        """Those that may be served, as many as places are free: these are theirs."""
        found = self._servable(item_ids)
        if self._constraints.max_per_category is not None or self._constraints.soft_max_per_category is not None:
            found = self._within_bounds(found, source, soft_max_per_category)
        found = found[: self.missing]
        self.missing -= len(found)
        if self.missing:
            self._taken.update(found)
        if source != RANKED:
            self.sources.update(dict.fromkeys(found, source))
        return found

    def _servable(self, item_ids: Sequence[str]) -> list[str]:
        """Those that may be served and have no place yet."""
        now_ms, category, cards = self._constraints.now_ms, self._constraints.category, self._cards
        wanted = zip(item_ids, map(cards.__getitem__, item_ids), strict=True)
        found = [i for i, card in wanted if card.served_from_ms <= now_ms < card.served_until_ms]
        if category is not None:
            found = [i for i in found if category in cards[i].categories]
        taken, exclude = self._taken, self._constraints.exclude
        return [i for i in found if i not in taken and i not in exclude] if taken or exclude else found

    def _within_bounds(self, item_ids: Sequence[str], source: str, soft_max_per_category: int | None) -> list[str]:
        """The first of those whose categories have room; puts off what the soft bound keeps back."""
        found: list[str] = []
        for item_id in item_ids:
            if len(found) == self.missing:
                break
            card = self._cards[item_id]
            if self._crowded(card, self._constraints.max_per_category):
                continue
            if self._crowded(card, soft_max_per_category):
                self._put_off.append((item_id, source))
                continue
            for name in card.categories:
                self._of_category[name] += 1
            found.append(item_id)
        return found

    def _crowded(self, card: Card, max_per_category: int | None) -> bool:
        """An answer to `category=c` is all of c: that one has no bound."""
        return max_per_category is not None and any(
            self._of_category[category] >= max_per_category
            for category in card.categories
            if category != self._constraints.category
        )
