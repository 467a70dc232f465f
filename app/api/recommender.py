"""Finds what a ranking needs, from the caches or from Postgres, and asks the core to rank it."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from app import metrics
from app.adapters import catalogue, features
from app.adapters.catalogue import UNKNOWN, Card
from app.adapters.fresh_cache import FreshCache
from app.adapters.history_cache import HistoryCache, Versioned
from app.adapters.postgres import Database
from app.core import ranking
from app.core.features import NO_HISTORY, History
from app.core.model import MODEL, Model
from app.core.ranking import Neighbours, Popular, Ranked
from app.errors import DependencyDown

MODEL_VERSION: Final = ranking.MODEL_VERSION

# Reloading what changed may take a fifth of the time; when more changes than that allows, lists grow older instead.
_REST_FACTOR: Final = 4.0
# Hidden and expired items and other categories are taken out after ranking, so more are ranked than asked for.
_SPARE: Final = 30
_POPULAR_LIMIT: Final = 500
_EVERYTHING: Final = ""


class Recommendation(Struct, frozen=True):
    items: Sequence[Ranked]
    titles: Mapping[str, str | None]
    strategy: str


class Recommender:
    """Histories come from the shared cache in one round trip; neighbours, popularity, cards from this process."""

    def __init__(
        self,
        database: Database,
        cache: HistoryCache | None,
        *,
        strict_cache: bool,
        related_ttl_sec: float,
        popularity_ttl_sec: float,
        max_keys: int,
    ) -> None:
        self._database = database
        self._cache = cache
        self._strict_cache = strict_cache
        # Always asked for anew; what is kept is for the moment when neither Redis nor Postgres answers.
        self._histories: FreshCache[History] = FreshCache(
            "history", self._load_histories, absent=NO_HISTORY, ttl_sec=0.0, max_keys=max_keys, patience_sec=1.0
        )
        self._neighbours: FreshCache[Neighbours] = FreshCache(
            "neighbours",
            self._load_neighbours,
            absent=ranking.NO_NEIGHBOURS,
            ttl_sec=related_ttl_sec,
            max_keys=max_keys,
            rest_factor=_REST_FACTOR,
        )
        self._popular: FreshCache[Popular] = FreshCache(
            "popular",
            self._load_popular,
            absent=ranking.NO_POPULAR,
            ttl_sec=popularity_ttl_sec,
            max_keys=1,
            rest_factor=_REST_FACTOR,
        )
        self._cards: FreshCache[Card] = FreshCache(
            "cards",
            self._load_cards,
            absent=UNKNOWN,
            ttl_sec=related_ttl_sec,
            max_keys=max_keys,
            max_batch=1000,
            rest_factor=_REST_FACTOR,
        )

    async def for_user(
        self,
        user_id: str,
        *,
        k: int,
        now_ms: int,
        exclude: Sequence[str],
        category: str | None,
        explain: bool = False,
        model: Model = MODEL,
    ) -> Recommendation:
        """Up to `k` items for the user. Raises `DependencyDown` when nothing is known and nothing can be read."""
        history = await self._histories.get(user_id)
        neighbours = await self._neighbours.get_many(ranking.seeds(history, model))
        popular = await self._popular.get(_EVERYTHING)
        with metrics.STAGE_LATENCY.labels("rank").time():
            ranked = ranking.rank(
                history,
                neighbours,
                popular,
                now_ms=now_ms,
                k=_wanted(k, category),
                exclude=frozenset(exclude),
                explain=explain,
                model=model,
            )
        return await self._serve(ranked, k, now_ms, category)

    async def similar(
        self, item_id: str, *, k: int, now_ms: int, exclude: Sequence[str], category: str | None
    ) -> Recommendation:
        """Up to `k` items that go with this one."""
        neighbours = await self._neighbours.get(item_id)
        ranked = ranking.similar(item_id, neighbours, k=_wanted(k, category), exclude=frozenset(exclude))
        return await self._serve(ranked, k, now_ms, category)

    async def popular(self, *, k: int, now_ms: int, exclude: Sequence[str], category: str | None) -> Recommendation:
        """Up to `k` of what is popular now."""
        popular = await self._popular.get(_EVERYTHING)
        ranked = ranking.popular(popular, now_ms=now_ms, k=_wanted(k, category), exclude=frozenset(exclude))
        return await self._serve(ranked, k, now_ms, category)

    def outdate(self, item_ids: Sequence[str]) -> None:
        """What is kept of these items is reloaded before it is served again."""
        self._neighbours.outdate(item_ids)
        self._cards.outdate(item_ids)

    async def close(self) -> None:
        for cache in (self._histories, self._neighbours, self._popular, self._cards):
            await cache.close()

    async def _serve(self, ranked: Sequence[Ranked], k: int, now_ms: int, category: str | None) -> Recommendation:
        """Takes out what must not be served, and adds titles."""
        cards = await self._cards.get_many([item.item_id for item in ranked])
        items = [item for item in ranked if cards[item.item_id].servable(now_ms, category)][:k]
        sources = [item.source for item in items]
        strategy = max(set(sources), key=sources.count) if sources else "none"
        return Recommendation(items, {item.item_id: cards[item.item_id].title for item in items}, strategy)

    async def _load_histories(self, user_ids: list[str]) -> Mapping[str, History]:
        """From the cache; what it lacks from Postgres, and that is put into the cache."""
        cached: dict[str, Versioned] = {}
        cache_answers = self._cache is not None
        if self._cache is not None:
            try:
                cached = await self._cache.get_many(user_ids)
            except DependencyDown:
                if self._strict_cache:
                    raise
                cache_answers = False
        missing = [user_id for user_id in user_ids if user_id not in cached]
        if missing:
            async with self._database.connection() as connection:
                stored = await features.read_histories(connection, missing)
            # A user without a history is remembered as such: any write of the consumer has a greater version.
            loaded = {user_id: stored.get(user_id, Versioned(0, b"")) for user_id in missing}
            cached |= loaded
            if self._cache is not None and cache_answers:
                # The breaker and the health page tell of a failure; the answer does not need it.
                with contextlib.suppress(DependencyDown):
                    await self._cache.put_many(loaded)
        return {user_id: features.history_of(entry) for user_id, entry in cached.items()}

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

    async def _load_popular(self, _keys: list[str]) -> Mapping[str, Popular]:
        async with self._database.connection() as connection:
            return {_EVERYTHING: ranking.popular_of(await features.read_popular(connection, _POPULAR_LIMIT))}

    async def _load_cards(self, item_ids: list[str]) -> Mapping[str, Card]:
        async with self._database.connection() as connection:
            return await catalogue.read_cards(connection, item_ids)


def _wanted(k: int, category: str | None) -> int:
    """How many to rank so that `k` are left after the catalogue has had its say."""
    return k + _SPARE if category is None else _POPULAR_LIMIT
