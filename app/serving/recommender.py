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
from app.core.slate import CATALOGUE, RANKED, Slate, Wish
from app.serving.histories import Histories
from app.serving.lists import EVERYTHING, Lists

MODEL_VERSION: Final = ranking.MODEL_VERSION

# Some of the best candidates may not be served, so some more than asked for are looked at first; many more where a
# category, a bound or a rule decides.
_SPARE: Final = 4
_SPARE_WHEN_CHOOSY: Final = 200
_RANKING: Final = metrics.STAGE_LATENCY.labels("rank").observe
# Of one category, as long as nothing is known of the user: the trending items of several, not the crowd of one.
_SPREAD_SHARE: Final = 0.25


class Ask(Struct, frozen=True, kw_only=True):
    """What is asked for. `most`: of one category at the most."""

    k: int
    now_ms: int
    exclude: frozenset[str] = frozenset()
    category: str | None = None
    most: int | None = None
    explain: bool = False


class Parts(Struct):
    """What the score is made of: `(similarity + popularity) * factor`. `factor`: of rules, and of an item that the
    user had before.
    """

    similarity: float
    popularity: float
    factor: float


class Item(Struct, omit_defaults=True):
    """One place of the answer. With `explain=true` also `because` (the user's items that led here), `parts`, `why`."""

    item_id: str
    score: float
    source: str
    title: str | None = None
    because: list[str] | UnsetType = UNSET
    parts: Parts | UnsetType = UNSET
    why: str | UnsetType = UNSET


class Recommendation(Struct, frozen=True):
    """`strategy`: the source that most places have."""

    items: Sequence[Item]
    strategy: str


class Recommender:
    """Histories come from the shared cache in one round trip; all else from this process."""

    def __init__(
        self,
        histories: Histories,
        lists: Lists,
        *,
        exploration_share: float,
        exploration_seed: str,
    ) -> None:
        self._lists = lists
        self._histories = histories
        self._exploration_share = exploration_share
        self._exploration_seed = exploration_seed

    async def for_user(
        self,
        user_id: str,
        ask: Ask,
        *,
        request_id: str,
        session_id: str | None = None,
        seen: frozenset[int] | None = None,
        model: Model = MODEL,
    ) -> Recommendation:
        """`ask.k` items for the user, or as many as may be served. `seen`: as in `ranking.rank`.

        Raises `DependencyDown` when nothing is known and nothing can be read.
        """
        history = await self._histories.of(user_id, session_id)
        profile = Profile(history, model)
        neighbours = await self._lists.neighbours.get_many([seed.item_id for seed in profile.seeds])
        popular = await self._lists.popular.get(ask.category or EVERYTHING)
        active = await self._lists.rules.get(RULES_CHANGED)
        factors = active.boosted_items(ask.now_ms, ask.category) if active else {}
        started = time.perf_counter()
        ranked = ranking.rank(
            profile,
            neighbours,
            popular,
            now_ms=ask.now_ms,
            slots=self._lists.slots,
            exclude=ask.exclude,
            seen=seen,
            factors=factors,
        )
        _RANKING((time.perf_counter() - started) * 1000)
        unknown = not history.entries and ask.category is None
        never = ask.exclude.union([item_id for item_id, factor in factors.items() if factor <= 0.0])
        wish = Wish(
            k=ask.k,
            now_ms=ask.now_ms,
            category=ask.category,
            exclude=never,
            most=ask.most,
            spread=max(1, round(ask.k * _SPREAD_SHARE)) if unknown else None,
            pins=active.pins(ask.now_ms, ask.category) if active else (),
            newcomers=await self._chosen_newcomers(ask, ranked, never, request_id),
        )
        by_card = bool(active) and active.needs_cards(ask.now_ms, ask.category)
        return await self._answer(_Job(ranked, wish, active, factors, by_card, ask.explain, fill_up=True))

    async def similar(self, item_id: str, ask: Ask) -> Recommendation:
        """Up to `ask.k` items that go with this one."""
        neighbours = await self._lists.neighbours.get(item_id)
        slots = self._lists.slots
        return await self._list(ranking.similar(neighbours, slots=slots, exclude=ask.exclude | {item_id}), ask)

    async def popular(self, ask: Ask) -> Recommendation:
        """Up to `ask.k` of what is popular now."""
        popular = await self._lists.popular.get(ask.category or EVERYTHING)
        ranked = ranking.popular(popular, now_ms=ask.now_ms, slots=self._lists.slots, exclude=ask.exclude)
        return await self._list(ranked, ask)

    async def _list(self, ranked: Ranking, ask: Ask) -> Recommendation:
        active = await self._lists.rules.get(RULES_CHANGED)
        wish = Wish(k=ask.k, now_ms=ask.now_ms, category=ask.category, exclude=ask.exclude, most=ask.most)
        return await self._answer(_Job(ranked, wish, active, {}, bool(active), ask.explain, fill_up=False))

    async def _chosen_newcomers(
        self, ask: Ask, ranked: Ranking, without: Collection[str], request_id: str
    ) -> Mapping[int, str]:
        if self._exploration_share <= 0.0:
            return {}
        newcomers = await self._lists.newcomers.get(ask.category or EVERYTHING)
        if not newcomers.ids:
            return {}
        chance = random.Random(f"{self._exploration_seed}:{request_id}").random
        chosen = exploration.choose(newcomers, share=self._exploration_share, k=ask.k, without=without, chance=chance)
        return {place: item_id for place, item_id in chosen.items() if not ranked.left_out(item_id)}

    async def _answer(self, job: "_Job") -> Recommendation:
        """Fills the places: from the ranking, more of it as long as some are free, and then from the catalogue."""
        wish, ranked = job.wish, job.ranked
        reserved = [*(item_id for _, item_id in wish.pins), *wish.newcomers.values()]
        cards = await self._lists.cards.get_many(reserved) if reserved else {}
        if job.by_card and wish.newcomers:
            kept = {place: i for place, i in wish.newcomers.items() if _boosted(job, [i], cards, {})}
            wish = structs.replace(wish, newcomers=kept)
        slate = Slate(wish, cards)
        boosts: dict[str, float] = {}
        choosy = job.by_card or wish.category is not None or wish.most is not None or wish.spread is not None
        count, offered = wish.k + (_SPARE_WHEN_CHOOSY if choosy else _SPARE), 0
        while slate.missing:
            best = ranked.best(count)
            fresh = best[offered:]
            cards.update(await self._lists.cards.get_many(fresh))
            slate.offer(_boosted(job, fresh, cards, boosts) if job.by_card else fresh)
            if len(best) < count:
                break
            offered, count = len(best), count * 4
        if slate.missing:
            slate.relax()
        if slate.missing and job.fill_up:
            rest = await self._lists.rest.get(wish.category or EVERYTHING)
            rest = [item_id for item_id in rest if not ranked.left_out(item_id)]
            cards.update(await self._lists.cards.get_many(rest))
            slate.offer(_boosted(job, rest, cards, boosts) if job.by_card else rest, CATALOGUE)
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
            Item(item_id, score, source, cards[item_id].title)
            for item_id, score, source in zip(item_ids, ranking.rounded(scores), sources, strict=True)
        ]
        strategy = max(dict.fromkeys(sources), key=sources.count) if sources else "none"
        if job.explain:
            shown = [ranked.show(it.item_id, boost=boosts.get(it.item_id, 1.0)).sourced(it.source) for it in items]
            causes = await self._lists.cards.get_many({cause.item_id for found in shown for cause in found.causes})
            titles = {item_id: card.title for item_id, card in causes.items()}
            for item, found in zip(items, shown, strict=True):
                item.because = [cause.item_id for cause in found.causes]
                item.parts = _parts(found)
                item.why = in_words(found, titles, job.wish.category)
        return Recommendation(items, strategy)


class _Job(Struct, frozen=True):
    """An answer to be made. `factors`: what `ranked` has multiplied scores by already; `by_card`: rules say more, of
    categories and tags; `fill_up`: with items of the catalogue that nothing speaks for.
    """

    ranked: Ranking
    wish: Wish
    rules: Rules
    factors: Mapping[str, float]
    by_card: bool
    explain: bool
    fill_up: bool


def _parts(found: Ranked) -> Parts:
    base = found.score / found.factor if found.factor else 0.0
    return Parts(*ranking.rounded([base - found.popularity, found.popularity, found.factor]))


def _boosted(job: _Job, item_ids: Sequence[str], cards: Mapping[str, Card], boosts: dict[str, float]) -> Sequence[str]:
    """In the order of their scores times what rules say of their cards, which is noted in `boosts`."""
    wish = job.wish
    for item_id in item_ids:
        factor = job.rules.factor(item_id, cards[item_id], wish.now_ms, wish.category)
        boosts[item_id] = factor / (job.factors.get(item_id) or 1.0)
    kept = [item_id for item_id in item_ids if boosts[item_id] > 0.0]
    return sorted(kept, key=lambda item_id: job.ranked.score(item_id) * boosts[item_id], reverse=True)
