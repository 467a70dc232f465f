"""What the process keeps in memory for ranking: neighbours, cards, rules, what is popular, new, or left over."""

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from app.adapters import catalogue, features, rules
from app.adapters.changes import RULES_CHANGED
from app.adapters.fresh_cache import FreshCache
from app.adapters.postgres import Database
from app.core import exploration, ranking
from app.core.catalogue import UNKNOWN, Card
from app.core.exploration import NO_NEWCOMERS, Newcomers
from app.core.model import MODEL
from app.core.ranking import Neighbours, Popular
from app.core.rules import NO_RULES, Rules

# Reloading what changed may take a fifth of the time; when more changes than that allows, lists grow older instead.
_REST_FACTOR: Final = 4.0
_POPULAR_LIMIT: Final = 500
# A user's own items, 1,000 excluded ones and an answer of 200 leave some of these.
_REST_LIMIT: Final = 2_500
_CATEGORIES: Final = 1_000
_CATALOGUE_TTL_SEC: Final = 1.0
# Changes of rules are told; this is for a process that missed one.
_RULES_TTL_SEC: Final = 30.0

EVERYTHING: Final = ""
"""The key for all categories; the others are keyed by their names."""


class Lists:
    """`neighbours` and `cards` by item; `popular`, `newcomers` and `rest` by category; `rules` by `RULES_CHANGED`."""

    def __init__(self, database: Database, *, related_ttl_sec: float, popularity_ttl_sec: float, max_keys: int) -> None:
        self._database = database
        self.neighbours: FreshCache[Neighbours] = FreshCache(
            "neighbours",
            self._load_neighbours,
            absent=ranking.NO_NEIGHBOURS,
            ttl_sec=related_ttl_sec,
            max_keys=max_keys,
            rest_factor=_REST_FACTOR,
        )
        self.cards: FreshCache[Card] = FreshCache(
            "cards",
            self._load_cards,
            absent=UNKNOWN,
            ttl_sec=related_ttl_sec,
            max_keys=max_keys,
            max_batch=1000,
            rest_factor=_REST_FACTOR,
        )
        self.rules: FreshCache[Rules] = FreshCache(
            "rules", self._load_rules, absent=NO_RULES, ttl_sec=_RULES_TTL_SEC, max_keys=1, rest_factor=_REST_FACTOR
        )
        self.popular: FreshCache[Popular] = FreshCache(
            "popular",
            self._load_popular,
            absent=ranking.NO_POPULAR,
            ttl_sec=popularity_ttl_sec,
            max_keys=_CATEGORIES,
            max_batch=1,
            rest_factor=_REST_FACTOR,
        )
        self.newcomers: FreshCache[Newcomers] = FreshCache(
            "newcomers",
            self._load_newcomers,
            absent=NO_NEWCOMERS,
            ttl_sec=_CATALOGUE_TTL_SEC,
            max_keys=_CATEGORIES,
            max_batch=1,
            rest_factor=_REST_FACTOR,
        )
        self.rest: FreshCache[Sequence[str]] = FreshCache(
            "rest",
            self._load_rest,
            absent=(),
            ttl_sec=_CATALOGUE_TTL_SEC,
            max_keys=_CATEGORIES,
            max_batch=1,
            rest_factor=_REST_FACTOR,
        )

    def outdate(self, item_ids: Sequence[str]) -> None:
        """What is kept of these items is reloaded before it is served again; `RULES_CHANGED` stands for the rules."""
        self.neighbours.outdate(item_ids)
        self.cards.outdate(item_ids)
        if RULES_CHANGED in item_ids:
            self.rules.outdate([RULES_CHANGED])

    async def close(self) -> None:
        for cache in (self.neighbours, self.cards, self.rules, self.popular, self.newcomers, self.rest):
            await cache.close()

    async def _load_neighbours(self, item_ids: list[str]) -> Mapping[str, Neighbours]:
        now_ms = time.time_ns() // 1_000_000
        async with self._database.connection() as connection:
            found = await features.read_pairs(
                connection,
                item_ids,
                limit=MODEL.neighbours,
                frequency_power=MODEL.candidate_power,
                evidence=ranking.evidence(now_ms),
            )
        return {
            item_id: ranking.neighbours_of(entry.frequency, entry.returns, entry.pairs, now_ms=now_ms)
            for item_id, entry in found.items()
        }

    async def _load_cards(self, item_ids: list[str]) -> Mapping[str, Card]:
        async with self._database.connection() as connection:
            return await catalogue.read_cards(connection, item_ids)

    async def _load_rules(self, _keys: list[str]) -> Mapping[str, Rules]:
        async with self._database.connection() as connection:
            return {RULES_CHANGED: await rules.read_rules(connection)}

    async def _load_popular(self, categories: list[str]) -> Mapping[str, Popular]:
        async with self._database.connection() as connection:
            return {
                category: ranking.popular_of(
                    [
                        (sys.intern(item_id), popularity)
                        for item_id, popularity in await features.read_popular(
                            connection, _POPULAR_LIMIT, category or None
                        )
                    ]
                )
                for category in categories
            }

    async def _load_newcomers(self, categories: list[str]) -> Mapping[str, Newcomers]:
        since = datetime.now(UTC) - timedelta(milliseconds=exploration.NEW_FOR_MS)
        async with self._database.connection() as connection:
            return {
                category: exploration.newcomers_of(
                    [
                        (item.item_id, item.impressions, item.responses)
                        for item in await catalogue.read_new(connection, category or None, since, exploration.NEWCOMERS)
                    ]
                )
                for category in categories
            }

    async def _load_rest(self, categories: list[str]) -> Mapping[str, Sequence[str]]:
        async with self._database.connection() as connection:
            return {
                category: await catalogue.read_rest(connection, category or None, _REST_LIMIT)
                for category in categories
            }
