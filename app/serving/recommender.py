"""Drives the serving core: answers its needs from the caches."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from app import metrics
from app.adapters.changes import RULES_CHANGED
from app.core import counted_lists, serving
from app.core.catalogue_pages import CataloguePage, catalogue_page
from app.core.content_index import Alike, ContentIndex
from app.core.counted_lists import COUNTED_VERSION, Window
from app.core.exploration import EMPTY_POOL, Chance
from app.core.given_history import history_of_entries
from app.core.history import NO_HISTORY, Entry, History
from app.core.model import MODEL, Model
from app.core.needs import (
    AlikeTo,
    BoughtWith,
    CardsOf,
    CatalogueAfter,
    ChanceFrom,
    CurrentEventTypes,
    CurrentRules,
    FallbackOf,
    MatchesOf,
    Need,
    NeighboursOf,
    NumbersOf,
    PopularIn,
    RankingInputs,
    RankingInputsFor,
)
from app.core.page_cursor import PageCursor
from app.core.recommendation import Recommendation, RecommendationRequest
from app.core.rules import Rule
from app.core.serving import Exploration
from app.core.signals import Kind
from app.core.weights import Weights
from app.errors import DependencyDown
from app.serving.candidate_caches import EVERYTHING, CandidateCaches
from app.serving.histories import Histories
from app.serving.known_event_types import KnownEventTypes
from app.tracing import traced

V = TypeVar("V")

# The model version of a variant with weights of its own.
_FIXED: Final = "weights-fixed"
_FIRST_CONTENT_SEC: Final = 0.5
_RANKING: Final = metrics.STAGE_LATENCY.labels("rank").observe


class Recommender:
    """Reads histories from the shared cache in one round trip, and everything else from this process.

    Every call raises `DependencyDown` when a value is missing and cannot be read. `filter_of` makes a filter of a text.
    """

    def __init__(
        self,
        histories: Histories,
        caches: CandidateCaches,
        *,
        exploration_share: float,
        exploration_seed: str,
        types: KnownEventTypes,
    ) -> None:
        self._table = caches.table
        self.filter_of = caches.filtering.filter_of
        self.has_version = caches.models.has
        self._fetch = {kind: traced(f"read {kind.__name__}", fetch) for kind, fetch in _sources(caches, types).items()}
        self._read_history = traced("history", histories.of)
        self._rank = traced("rank", self._answer)
        self._exploration_share = exploration_share
        self._exploration_seed = exploration_seed

    async def for_user(
        self,
        user_id: str | None,
        request: RecommendationRequest,
        *,
        request_id: str,
        session_id: str | None = None,
        past: Sequence[Entry] = (),
        seen: frozenset[int] | None = None,
        model: Model = MODEL,
        weights: Weights | None = None,
        version: int | None = None,
        preview: Rule | None = None,
    ) -> Recommendation:
        """As `serving.for_user`; `request_id` and the seed decide which new items are explored.

        `past` counts for somebody without a history: an unknown user, or nobody (`user_id` None).
        It ranks by the weights of `version`, or by `weights`; both None: by those that serve all users.
        """
        history = await self._history(user_id, session_id, past)
        exploration = Exploration(self._exploration_share, f"{self._exploration_seed}:{request_id}")
        return await self._rank(
            serving.for_user(
                history,
                request,
                table=self._table,
                model=model,
                weights=weights,
                version=version,
                seen=seen,
                exploration=exploration,
                preview=preview,
            )
        )

    async def rest(
        self,
        user_id: str | None,
        request: RecommendationRequest,
        cursor: PageCursor,
        *,
        session_id: str | None = None,
        past: Sequence[Entry] = (),
        seen: frozenset[int] | None = None,
    ) -> CataloguePage:
        """A page of the catalogue, behind all that is ranked."""
        history = await self._history(user_id, session_id, past)
        page: CataloguePage = await self._rank(catalogue_page(history, request, cursor, COUNTED_VERSION, seen=seen))
        return page

    async def _history(self, user_id: str | None, session_id: str | None, past: Sequence[Entry]) -> History:
        model = self._table.model
        history = NO_HISTORY if user_id is None else await self._read_history(user_id, session_id, model)
        if past and not history.entries:
            return history_of_entries(past, model=model)
        return history

    async def recent(
        self,
        user_id: str,
        request: RecommendationRequest,
        *,
        session_id: str | None = None,
        kinds: frozenset[int] | None = None,
    ) -> Recommendation:
        """Up to `request.k` of what the user did something of `kinds` with, the latest first; None: anything."""
        history = await self._read_history(user_id, session_id, self._table.model)
        return await self._rank(counted_lists.recent(history, request, kinds))

    async def bought(self, user_id: str) -> list[str]:
        """The items of the user's history that the user bought."""
        history = await self._read_history(user_id, None, self._table.model)
        return list(dict.fromkeys(entry.item_id for entry in history.entries if entry.kind == Kind.PURCHASE))

    async def similar(self, item_id: str, request: RecommendationRequest) -> Recommendation:
        """Up to `request.k` items that go with this one."""
        return await self._rank(counted_lists.similar(item_id, request, index=self._table.index))

    async def bought_together(self, item_id: str, request: RecommendationRequest) -> Recommendation:
        """Up to `request.k` items that were bought in one basket with this one."""
        return await self._rank(counted_lists.bought_together(item_id, request))

    async def popular(self, request: RecommendationRequest, window: Window = "week") -> Recommendation:
        """Up to `request.k` of what is popular now, by the half-life of the window."""
        return await self._rank(counted_lists.popular(request, index=self._table.index, window=window))

    async def _answer(self, answering: Generator[Need, Any, V]) -> V:
        """Observes the time that the core takes, and not the time that the caches take."""
        fetch, clock = self._fetch, time.perf_counter
        sent: Any = None
        took = 0.0
        while True:
            started = clock()
            try:
                need = answering.send(sent)
            except StopIteration as finished:
                _RANKING((took + clock() - started) * 1000)
                found: V = finished.value
                return found
            took += clock() - started
            sent = await fetch[type(need)](need)


async def _content(caches: CandidateCaches) -> ContentIndex | None:
    """Lists that are asked for before the process is ready wait a moment for it, or cold items would be missing."""
    found = caches.content_at_hand()
    if found is None:
        with suppress(TimeoutError, DependencyDown):
            async with asyncio.timeout(_FIRST_CONTENT_SEC):
                found = await caches.content.get(EVERYTHING)
    return found


def _sources(caches: CandidateCaches, types: KnownEventTypes) -> dict[type[Need], Callable[[Any], Awaitable[Any]]]:
    """Kind of need → what answers it. A table: no chain of comparisons for every need of every answer."""

    async def ranking_inputs(need: RankingInputsFor) -> RankingInputs:
        category = need.category or EVERYTHING
        if need.weights is None:
            served = await caches.models.of(need.version)
            weights, name = served.weights, served.name
        else:
            weights, name = need.weights, _FIXED
        await caches.asked.have(need.own)
        return RankingInputs(
            await caches.neighbours.get_many(need.seeds),
            await caches.popular.get(category),
            weights,
            name,
            await caches.rules.get(RULES_CHANGED),
            await caches.exploration_pool.get(category) if need.explore else EMPTY_POOL,
            await _content(caches),
        )

    async def alike(need: AlikeTo) -> Alike:
        return (await caches.content.get(EVERYTHING)).alike(need.item_id)

    async def chance(need: ChanceFrom) -> Chance:
        return random.Random(need.seed).random

    return {
        RankingInputsFor: ranking_inputs,
        CardsOf: lambda need: caches.cards.get_many(need.item_ids),
        CatalogueAfter: caches.catalogue_after,
        MatchesOf: caches.filtering.matches,
        NumbersOf: lambda need: caches.asked.numbers_of(need.item_ids),
        NeighboursOf: lambda need: caches.neighbours.get(need.item_id),
        AlikeTo: alike,
        BoughtWith: lambda need: caches.baskets.get(need.item_id),
        PopularIn: lambda need: caches.popular.get(need.category or EVERYTHING),
        CurrentRules: lambda _: caches.rules.get(RULES_CHANGED),
        CurrentEventTypes: lambda _: types.get(),
        FallbackOf: lambda need: caches.fallback.get(need.category or EVERYTHING),
        ChanceFrom: chance,
    }
