"""Finds what an answer needs, from the caches or from Postgres, and asks the core to rank it and to fill its places."""

import random
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from msgspec import UNSET, Struct, UnsetType, structs

from app import metrics
from app.adapters.changes import RULES_CHANGED
from app.core import exploration, ranking
from app.core.catalogue import Card
from app.core.explanation import in_words
from app.core.model import MODEL, Model
from app.core.profile import Profile
from app.core.ranking import Ranked, Ranking
from app.core.rules import Rules
from app.core.slate import CATALOGUE, RANKED, PageConstraints, Slate
from app.serving.candidate_caches import EVERYTHING, CandidateCaches
from app.serving.histories import Histories

MODEL_VERSION: Final = ranking.MODEL_VERSION

# Some of the best candidates may not be served, so some more than asked for are looked at first; many more where a
# category, a bound or a rule decides.
_SPARE: Final = 4
_SPARE_WHEN_CHOOSY: Final = 200
_RANKING: Final = metrics.STAGE_LATENCY.labels("rank").observe
# Of one category, as long as nothing is known of the user: the trending items of several, not the crowd of one.
_SPREAD_SHARE: Final = 0.25


class RecommendationRequest(Struct, frozen=True, kw_only=True):
    """What is asked for. `max_per_category`: of one category at the most."""

    k: int
    now_ms: int
    exclude: frozenset[str] = frozenset()
    category: str | None = None
    max_per_category: int | None = None
    explain: bool = False


class ScoreParts(Struct):
    """What the score is made of: `(similarity + popularity) * factor`. `factor`: of rules, and of an item that the
    user had before.
    """

    similarity: float
    popularity: float
    factor: float


class RecommendedItem(Struct, omit_defaults=True):
    """One place of the answer. With `explain=true` also `because` (the user's items that led here), `parts`, `why`."""

    item_id: str
    score: float
    source: str
    title: str | None = None
    because: list[str] | UnsetType = UNSET
    parts: ScoreParts | UnsetType = UNSET
    why: str | UnsetType = UNSET


class Recommendation(Struct, frozen=True):
    """`strategy`: the source that most places have."""

    items: Sequence[RecommendedItem]
    strategy: str


class Recommender:
    """Histories come from the shared cache in one round trip; all else from this process."""

    def __init__(
        self,
        histories: Histories,
        caches: CandidateCaches,
        *,
        exploration_share: float,
        exploration_seed: str,
    ) -> None:
        self._caches = caches
        self._histories = histories
        self._exploration_share = exploration_share
        self._exploration_seed = exploration_seed

    async def for_user(
        self,
        user_id: str,
        request: RecommendationRequest,
        *,
        request_id: str,
        session_id: str | None = None,
        seen: frozenset[int] | None = None,
        model: Model = MODEL,
    ) -> Recommendation:
        """`request.k` items for the user, or as many as may be served. `seen`: as in `ranking.rank`.

        Raises `DependencyDown` when nothing is known and nothing can be read.
        """
        history = await self._histories.of(user_id, session_id)
        profile = Profile(history, model)
        neighbours = await self._caches.neighbours.get_many([seed.item_id for seed in profile.seeds])
        popular = await self._caches.popular.get(request.category or EVERYTHING)
        active = await self._caches.rules.get(RULES_CHANGED)
        factors = active.boosted_items(request.now_ms, request.category) if active else {}
        started = time.perf_counter()
        ranked = ranking.rank(
            profile,
            neighbours,
            popular,
            now_ms=request.now_ms,
            index=self._caches.index,
            exclude=request.exclude,
            seen=seen,
            factors=factors,
        )
        _RANKING((time.perf_counter() - started) * 1000)
        unknown = not history.entries and request.category is None
        never = request.exclude.union([item_id for item_id, factor in factors.items() if factor <= 0.0])
        constraints = PageConstraints(
            k=request.k,
            now_ms=request.now_ms,
            category=request.category,
            exclude=never,
            max_per_category=request.max_per_category,
            soft_max_per_category=max(1, round(request.k * _SPREAD_SHARE)) if unknown else None,
            pins=active.pins(request.now_ms, request.category) if active else (),
            explored=await self._explored(request, ranked, never, request_id),
        )
        by_card = bool(active) and active.needs_cards(request.now_ms, request.category)
        return await self._answer(_Job(ranked, constraints, active, factors, by_card, request.explain, fill_up=True))

    async def similar(self, item_id: str, request: RecommendationRequest) -> Recommendation:
        """Up to `request.k` items that go with this one."""
        neighbours = await self._caches.neighbours.get(item_id)
        index = self._caches.index
        return await self._list(ranking.similar(neighbours, index=index, exclude=request.exclude | {item_id}), request)

    async def popular(self, request: RecommendationRequest) -> Recommendation:
        """Up to `request.k` of what is popular now."""
        popular = await self._caches.popular.get(request.category or EVERYTHING)
        ranked = ranking.popular(popular, now_ms=request.now_ms, index=self._caches.index, exclude=request.exclude)
        return await self._list(ranked, request)

    async def _list(self, ranked: Ranking, request: RecommendationRequest) -> Recommendation:
        active = await self._caches.rules.get(RULES_CHANGED)
        constraints = PageConstraints(
            k=request.k,
            now_ms=request.now_ms,
            category=request.category,
            exclude=request.exclude,
            max_per_category=request.max_per_category,
        )
        return await self._answer(_Job(ranked, constraints, active, {}, bool(active), request.explain, fill_up=False))

    async def _explored(
        self, request: RecommendationRequest, ranked: Ranking, without: Collection[str], request_id: str
    ) -> Mapping[int, str]:
        if self._exploration_share <= 0.0:
            return {}
        pool = await self._caches.exploration_pool.get(request.category or EVERYTHING)
        if not pool.ids:
            return {}
        chance = random.Random(f"{self._exploration_seed}:{request_id}").random
        chosen = exploration.choose(pool, share=self._exploration_share, k=request.k, without=without, chance=chance)
        return {place: item_id for place, item_id in chosen.items() if not ranked.left_out(item_id)}

    async def _answer(self, job: "_Job") -> Recommendation:
        """Fills the places: from the ranking, more of it as long as some are free, and then from the catalogue."""
        constraints, ranked = job.constraints, job.ranked
        reserved = [*(item_id for _, item_id in constraints.pins), *constraints.explored.values()]
        cards = await self._caches.cards.get_many(reserved) if reserved else {}
        if job.by_card and constraints.explored:
            kept = {place: i for place, i in constraints.explored.items() if _boosted(job, [i], cards, {})}
            constraints = structs.replace(constraints, explored=kept)
        slate = Slate(constraints, cards)
        boosts: dict[str, float] = {}
        choosy = (
            job.by_card
            or constraints.category is not None
            or constraints.max_per_category is not None
            or constraints.soft_max_per_category is not None
        )
        count, offered = constraints.k + (_SPARE_WHEN_CHOOSY if choosy else _SPARE), 0
        while slate.missing:
            best = ranked.best(count)
            fresh = best[offered:]
            cards.update(await self._caches.cards.get_many(fresh))
            slate.offer(_boosted(job, fresh, cards, boosts) if job.by_card else fresh)
            if len(best) < count:
                break
            offered, count = len(best), count * 4
        if slate.missing:
            slate.relax()
        if slate.missing and job.fill_up:
            fallback = await self._caches.fallback.get(constraints.category or EVERYTHING)
            fallback = [item_id for item_id in fallback if not ranked.left_out(item_id)]
            cards.update(await self._caches.cards.get_many(fallback))
            slate.offer(_boosted(job, fallback, cards, boosts) if job.by_card else fallback, CATALOGUE)
        return await self._shown(job, slate.places(), cards, boosts)

    async def _shown(
        self, job: "_Job", places: Sequence[tuple[str, str]], cards: Mapping[str, Card], boosts: Mapping[str, float]
    ) -> Recommendation:
        ranked = job.ranked
        item_ids = [item_id for item_id, _ in places]
        scores = ranked.scores(item_ids)
        sources = ranked.sources(item_ids, scores)
        for place, (_, source) in enumerate(places):
            if source != RANKED:
                sources[place] = source
        if boosts:
            scores = [score * boosts.get(item_id, 1.0) for item_id, score in zip(item_ids, scores, strict=True)]
        items = [
            RecommendedItem(item_id, score, source, cards[item_id].title)
            for item_id, score, source in zip(item_ids, ranking.rounded(scores), sources, strict=True)
        ]
        strategy = max(dict.fromkeys(sources), key=sources.count) if sources else "none"
        if job.explain:
            shown = [ranked.show(it.item_id, boost=boosts.get(it.item_id, 1.0)).sourced(it.source) for it in items]
            causes = await self._caches.cards.get_many({cause.item_id for found in shown for cause in found.causes})
            titles = {item_id: card.title for item_id, card in causes.items()}
            for item, found in zip(items, shown, strict=True):
                item.because = [cause.item_id for cause in found.causes]
                item.parts = _parts(found)
                item.why = in_words(found, titles, job.constraints.category)
        return Recommendation(items, strategy)


class _Job(Struct, frozen=True):
    """An answer to be made. `factors`: what `ranked` has multiplied scores by already; `by_card`: rules say more, of
    categories and tags; `fill_up`: with items of the catalogue that nothing speaks for.
    """

    ranked: Ranking
    constraints: PageConstraints
    rules: Rules
    factors: Mapping[str, float]
    by_card: bool
    explain: bool
    fill_up: bool


def _parts(found: Ranked) -> ScoreParts:
    base = found.score / found.factor if found.factor else 0.0
    return ScoreParts(*ranking.rounded([base - found.popularity, found.popularity, found.factor]))


def _boosted(job: _Job, item_ids: Sequence[str], cards: Mapping[str, Card], boosts: dict[str, float]) -> Sequence[str]:
    """In the order of their scores times what rules say of their cards, which is noted in `boosts`."""
    constraints = job.constraints
    for item_id in item_ids:
        factor = job.rules.factor(item_id, cards[item_id], constraints.now_ms, constraints.category)
        boosts[item_id] = factor / (job.factors.get(item_id) or 1.0)
    kept = [item_id for item_id in item_ids if boosts[item_id] > 0.0]
    return sorted(kept, key=lambda item_id: job.ranked.score(item_id) * boosts[item_id], reverse=True)
