"""The in-process caches of the ranking's inputs: neighbours, cards, rules, popular and new items, the fallback list."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from app.adapters import catalogue, features, rules
from app.adapters.changes import RULES_CHANGED
from app.adapters.postgres import Database
from app.core import exploration
from app.core.catalogue import NEVER_SERVED, UNKNOWN, Card
from app.core.exploration import EMPTY_POOL, ExplorationPool
from app.core.item_index import ItemIndex
from app.core.model import MODEL
from app.core.needs import FALLBACK_LIMIT
from app.core.neighbours import NO_NEIGHBOURS, Neighbours, evidence, neighbours_of
from app.core.popularity import NO_POPULAR, POPULAR_LIMIT, Popular, popular_of
from app.core.rules import NO_RULES, Rules
from app.serving.fresh_cache import FreshCache

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

V = TypeVar("V")

# Reloads may take a fifth of the time; if more entries change than that allows, they are served stale.
_RELOAD_THROTTLE: Final = 4.0
# A list costs Postgres a millisecond. After a start under load thousands are missing at once; an answer uses those that
# have been loaded instead of waiting for all of its own.
_LISTS_A_LOAD: Final = 50
_LISTS_A_TURN: Final = 25
_FILL_PATIENCE_SEC: Final = 0.05
_CATEGORIES: Final = 1_000
_CATALOGUE_TTL_SEC: Final = 1.0
# The change feed announces changes of rules; this is for a process that missed one.
_RULES_TTL_SEC: Final = 30.0

EVERYTHING: Final = ""
"""The key for all categories; the others are keyed by their names."""


class CandidateCaches:
    """`neighbours` and `cards` by item; `popular`, `exploration_pool` and `fallback` by category.

    `catalogue_only`: items that the catalogue does not have are neither popular nor servable.
    `rules` has the one key `RULES_CHANGED`. `index` numbers the items that stand in `neighbours` and `popular`.
    """

    def __init__(
        self,
        database: Database,
        *,
        related_ttl_sec: float,
        popularity_ttl_sec: float,
        max_keys: int,
        catalogue_only: bool,
    ) -> None:
        self._database = database
        self._catalogue_only = catalogue_only
        self.index = ItemIndex()
        self.neighbours: FreshCache[Neighbours] = FreshCache(
            "neighbours",
            self._load_neighbours,
            absent=NO_NEIGHBOURS,
            ttl_sec=related_ttl_sec,
            max_keys=max_keys,
            max_batch=_LISTS_A_LOAD,
            reload_throttle=_RELOAD_THROTTLE,
            fill_patience_sec=_FILL_PATIENCE_SEC,
        )
        self.cards: FreshCache[Card] = FreshCache(
            "cards",
            self._load_cards,
            absent=NEVER_SERVED if catalogue_only else UNKNOWN,
            ttl_sec=related_ttl_sec,
            max_keys=max_keys,
            max_batch=1000,
            reload_throttle=_RELOAD_THROTTLE,
        )
        self.rules: FreshCache[Rules] = FreshCache(
            "rules",
            self._load_rules,
            absent=NO_RULES,
            ttl_sec=_RULES_TTL_SEC,
            max_keys=1,
            reload_throttle=_RELOAD_THROTTLE,
        )
        self.popular: FreshCache[Popular] = self._by_category(
            "popular", self._popular, absent=NO_POPULAR, ttl_sec=popularity_ttl_sec
        )
        self.exploration_pool: FreshCache[ExplorationPool] = self._by_category(
            "exploration_pool", _exploration_pool, absent=EMPTY_POOL, ttl_sec=_CATALOGUE_TTL_SEC
        )
        self.fallback: FreshCache[Sequence[str]] = self._by_category(
            "fallback", _fallback, absent=(), ttl_sec=_CATALOGUE_TTL_SEC
        )

    def outdate(self, item_ids: Sequence[str]) -> None:
        """Makes the entries of these items stale; `RULES_CHANGED` stands for the rules."""
        self.neighbours.outdate(item_ids)
        self.cards.outdate(item_ids)
        if RULES_CHANGED in item_ids:
            self.rules.outdate([RULES_CHANGED])

    def outdate_all(self) -> None:
        """Makes every entry stale: another server may have come back than the one that they were read from."""
        for cache in self._all:
            cache.outdate_all()

    async def close(self) -> None:
        for cache in self._all:
            await cache.close()

    @property
    def _all(self) -> Sequence[FreshCache[Any]]:
        return self.neighbours, self.cards, self.rules, self.popular, self.exploration_pool, self.fallback

    async def _load_neighbours(self, item_ids: list[str]) -> Mapping[str, Neighbours]:
        now_ms = time.time_ns() // 1_000_000
        async with self._database.connection() as connection:
            found = await features.read_pairs(
                connection,
                item_ids,
                limit=MODEL.neighbours,
                frequency_power=MODEL.candidate_power,
                evidence=evidence(now_ms),
            )
        lists = {}
        for number, (item_id, entry) in enumerate(found.items(), 1):
            lists[item_id] = neighbours_of(
                entry.frequency, entry.repeat_weight, entry.pairs, now_ms=now_ms, index=self.index
            )
            if number % _LISTS_A_TURN == 0:
                await asyncio.sleep(0)  # a hundred lists in one go would delay the answers
        return lists

    async def _load_cards(self, item_ids: list[str]) -> Mapping[str, Card]:
        async with self._database.connection() as connection:
            return await catalogue.read_cards(connection, item_ids)

    async def _load_rules(self, _keys: list[str]) -> Mapping[str, Rules]:
        async with self._database.connection() as connection:
            return {RULES_CHANGED: await rules.read_rules(connection)}

    async def _popular(self, connection: "Connection", category: str | None) -> Popular:
        rows = await features.read_popular(connection, POPULAR_LIMIT, category, catalogue_only=self._catalogue_only)
        return popular_of(rows, index=self.index)

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
            reload_throttle=_RELOAD_THROTTLE,
        )


async def _exploration_pool(connection: "Connection", category: str | None) -> ExplorationPool:
    since = datetime.now(UTC) - timedelta(milliseconds=exploration.NEW_FOR_MS)
    found = await catalogue.read_new(connection, category, since, exploration.POOL_SIZE)
    return exploration.exploration_pool_of([(item.item_id, item.impressions, item.responses) for item in found])


async def _fallback(connection: "Connection", category: str | None) -> Sequence[str]:
    return await catalogue.read_fallback(connection, category, FALLBACK_LIMIT)
