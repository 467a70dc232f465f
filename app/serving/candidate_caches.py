"""The in-process caches of the ranking's inputs: neighbours, cards, rules, popular and new items, the fallback list."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from app.adapters import catalogue, features, rules
from app.adapters.changes import MODEL_CHANGED, RULES_CHANGED
from app.adapters.read_replica import ReadSource
from app.clock import clock
from app.core.catalogue import NEVER_SERVED, UNKNOWN, Card
from app.core.content_index import NO_CONTENT, ContentIndex
from app.core.exploration import EMPTY_POOL, ExplorationPool
from app.core.model import MODEL
from app.core.needs import FALLBACK_LIMIT, CatalogueAfter
from app.core.neighbours import NO_NEIGHBOURS, Neighbours
from app.core.page_cursor import CataloguePosition
from app.core.popularity import NO_POPULAR, Popular
from app.core.rules import NO_RULES, Rules
from app.serving.asked_items import AskedItems
from app.serving.baskets import baskets_cache
from app.serving.catalogue_content import CatalogueContent
from app.serving.exploration_pools import read_exploration_pool
from app.serving.filtering import Filtering
from app.serving.fresh_cache import FreshCache
from app.serving.item_sweeps import ItemSweeps
from app.serving.loaded_items import LoadedItems
from app.serving.model_weights import ModelWeights
from app.serving.neighbour_lists import LISTS_A_LOAD, NeighbourLists
from app.serving.popular_items import most_popular

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

V = TypeVar("V")

# Reloads may take a fifth of the time; if more entries change than that allows, they are served stale.
_RELOAD_THROTTLE: Final = 4.0
# After a start under load thousands of lists are missing at once; an answer uses those that have been loaded instead of
# waiting for all of its own.
_FILL_PATIENCE_SEC: Final = 0.05
_CARDS_A_TURN: Final = 200
_CATEGORIES: Final = 1_000
# Longer than an answer takes: what was found before a sweep is used until the next one at most.
_SWEEP_EVERY_SEC: Final = 15.0
_CATALOGUE_TTL_SEC: Final = 1.0
# Making the index of a catalogue anew may take a fifth of the time, and paced a twenty-fifth of the interpreter's.
_CONTENT_THROTTLE: Final = 4.0
# The change feed announces changes of rules; this is for a process that missed one.
_RULES_TTL_SEC: Final = 30.0

EVERYTHING: Final = ""
"""The key for all categories; the others are keyed by their names."""


class CandidateCaches:
    """`neighbours` and `cards` by item; `popular`, `exploration_pool` and `fallback` by category.

    `catalogue_only`: items that the catalogue does not have are neither popular nor servable.
    With more than `max_keys` items in `table`, those that no list holds any more leave it.
    `rules` has the one key `RULES_CHANGED`; `models` has the weights by version. `table` has the items that stand in
    `neighbours` and `popular`, and those of `asked`.
    """

    def __init__(
        self,
        database: ReadSource,
        *,
        related_ttl_sec: float,
        popularity_ttl_sec: float,
        max_keys: int,
        catalogue_only: bool,
        reload_throttle: float = _RELOAD_THROTTLE,
        sweep_every_sec: float = _SWEEP_EVERY_SEC,
    ) -> None:
        self._database = database
        self._reload_throttle = reload_throttle
        self._catalogue_only = catalogue_only
        self._popularity_ttl_sec = popularity_ttl_sec
        self._items = LoadedItems(catalogue_only=catalogue_only)
        self.table = self._items.table
        self.sweeps = ItemSweeps(self._sweep, self.table.index, most=max_keys, every_sec=sweep_every_sec)
        self._neighbour_lists = NeighbourLists(database, self._items, refresh_sec=popularity_ttl_sec)
        self.models = ModelWeights(database)
        self.filtering = Filtering(database, self._items)
        self.neighbours: FreshCache[Neighbours] = FreshCache(
            "neighbours",
            self._load_neighbours,
            absent=NO_NEIGHBOURS,
            ttl_sec=related_ttl_sec,
            max_keys=max_keys,
            max_batch=LISTS_A_LOAD,
            reload_throttle=reload_throttle,
            fill_patience_sec=_FILL_PATIENCE_SEC,
        )
        self.cards: FreshCache[Card] = FreshCache(
            "cards",
            self._load_cards,
            absent=NEVER_SERVED if catalogue_only else UNKNOWN,
            ttl_sec=related_ttl_sec,
            max_keys=max_keys,
            max_batch=1000,
            reload_throttle=reload_throttle,
        )
        self.asked = AskedItems(
            database,
            self._items,
            ttl_sec=related_ttl_sec,
            refresh_sec=popularity_ttl_sec,
            max_keys=max_keys,
            reload_throttle=reload_throttle,
            loaded=self.sweeps.begin_if_due,
        )
        self._content = CatalogueContent(database, self._items)
        self.content: FreshCache[ContentIndex] = FreshCache(
            "content",
            self._load_content,
            absent=NO_CONTENT,
            ttl_sec=_CATALOGUE_TTL_SEC,
            max_keys=1,
            patience_sec=0.0,
            reload_throttle=_CONTENT_THROTTLE,
        )
        self.baskets = baskets_cache(database, ttl_sec=related_ttl_sec, max_keys=max_keys)
        self.rules: FreshCache[Rules] = FreshCache(
            "rules",
            self._load_rules,
            absent=NO_RULES,
            ttl_sec=_RULES_TTL_SEC,
            max_keys=1,
            reload_throttle=reload_throttle,
        )
        self.popular: FreshCache[Popular] = self._by_category(
            "popular", self._load_popular, absent=NO_POPULAR, ttl_sec=popularity_ttl_sec
        )
        self.exploration_pool: FreshCache[ExplorationPool] = self._by_category(
            "exploration_pool", read_exploration_pool, absent=EMPTY_POOL, ttl_sec=_CATALOGUE_TTL_SEC
        )
        self.fallback: FreshCache[Sequence[str]] = self._by_category(
            "fallback", partial(catalogue.read_fallback, limit=FALLBACK_LIMIT), absent=(), ttl_sec=_CATALOGUE_TTL_SEC
        )

    async def catalogue_after(self, need: CatalogueAfter) -> Sequence[CataloguePosition]:
        """Not cached: pages are far apart, and each is read once."""
        async with self._database.connection() as connection:
            return await catalogue.read_after(connection, need.category, need.after, need.limit)

    def content_at_hand(self) -> ContentIndex | None:
        """Without waiting; None: it is loaded meanwhile."""
        found = self.content.at_hand([EVERYTHING])
        return None if found is None else found[EVERYTHING]

    def at_hand(
        self, seeds: Sequence[str], own: Collection[str]
    ) -> tuple[Mapping[str, Neighbours], Popular, ContentIndex | None] | None:
        """The neighbours of the seeds, and what is popular, without waiting; None: some of it, or of the sums of the
        user's `own` items, is loaded meanwhile. And the content of the catalogue, where that is at hand.
        """
        neighbours = self.neighbours.at_hand(seeds)
        popular = self.popular.at_hand([EVERYTHING])
        if not self.asked.are_at_hand(own) or neighbours is None or popular is None:
            return None
        return neighbours, popular[EVERYTHING], self.content_at_hand()

    def outdate(self, item_ids: Sequence[str]) -> None:
        """Makes the entries of these items stale; `RULES_CHANGED` and `MODEL_CHANGED` stand for rules and model."""
        self._items.changed(item_ids)
        self._content.changed(item_ids)
        self.filtering.changed(item_ids)
        self.neighbours.outdate(item_ids)
        self.cards.outdate(item_ids)
        self.baskets.outdate(item_ids)
        if RULES_CHANGED in item_ids:
            self.rules.outdate([RULES_CHANGED])
        if MODEL_CHANGED in item_ids:
            self.models.outdate_all()

    def outdate_all(self) -> None:
        """Makes every entry stale: another server may have come back than the one that they were read from."""
        self._items.forget()
        self._content.forget()
        self.filtering.forget()
        self.models.outdate_all()
        for cache in self._all:
            cache.outdate_all()

    async def close(self) -> None:
        await self.sweeps.close()
        await self.models.close()
        await self.filtering.close()
        for cache in self._all:
            await cache.close()

    @property
    def _all(self) -> Sequence[FreshCache[Any]]:
        return (
            self.neighbours,
            self.cards,
            self.baskets,
            self.rules,
            self.popular,
            self.exploration_pool,
            self.fallback,
            self.content,
            self.asked.cache,
        )

    async def _load_content(self, _keys: list[str]) -> Mapping[str, ContentIndex]:
        return {EVERYTHING: await self._content.load()}

    async def _load_neighbours(self, item_ids: list[str]) -> Mapping[str, Neighbours]:
        lists = await self._neighbour_lists.load(item_ids)
        self.sweeps.begin_if_due()
        return lists

    async def _load_cards(self, item_ids: list[str]) -> Mapping[str, Card]:
        cards: dict[str, Card] = {}
        async with self._database.connection() as connection:
            for start in range(0, len(item_ids), _CARDS_A_TURN):  # a thousand in one go would delay the answers
                cards |= await catalogue.read_cards(connection, item_ids[start : start + _CARDS_A_TURN])
        return cards

    async def _load_rules(self, _keys: list[str]) -> Mapping[str, Rules]:
        async with self._database.connection() as connection:
            return {RULES_CHANGED: await rules.read_rules(connection)}

    async def _load_popular(self, connection: "Connection", category: str | None) -> Popular:
        table = await self._items.refresh(connection, older_than_sec=self._popularity_ttl_sec / 2)
        if category is None:
            best = await most_popular(connection, self._items, self._are_servable)
        else:
            found = await features.read_popular(connection, MODEL.popular, category, model=self._items.model)
            await self._items.have(connection, found)
            best = table.index.number(found)
        self.sweeps.begin_if_due()
        return Popular(best.tobytes(), table.popularity(best).tobytes(), table.log_ms)

    async def _are_servable(self, item_ids: Sequence[str]) -> list[bool]:
        cards, now_ms = await self.cards.get_many(item_ids, allow_partial=False), clock.now_ms()
        return [cards[item_id].servable(now_ms, None) for item_id in item_ids]

    async def _sweep(self) -> None:
        """Forgets items that no list holds. Raises `DependencyDown`."""
        self.table.index.use(self._content.numbers)
        self.table.index.use(self.filtering.numbers)
        async with self._database.connection() as connection:
            await self._items.number(connection, self.asked.cache.values())
        await self._items.sweep(self.neighbours.values(), self.popular.values())

    def _by_category(
        self,
        name: str,
        read: Callable[["Connection", str | None], Awaitable[V]],
        *,
        absent: V,
        ttl_sec: float,
    ) -> FreshCache[V]:
        """`read` is given a category, or None for all of them."""

        async def load(categories: list[str]) -> Mapping[str, V]:
            async with self._database.connection() as connection:
                return {category: await read(connection, category or None) for category in categories}

        return FreshCache(
            name,
            load,
            absent=absent,
            ttl_sec=ttl_sec,
            max_keys=_CATEGORIES,
            max_batch=1,
            reload_throttle=self._reload_throttle,
        )
