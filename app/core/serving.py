"""Makes a recommendation list from a history, without any I/O.

An answer is a generator. It yields a `Need` (the cards of these items, the rules, …), is sent what it asked for, and
returns a `Recommendation`. The service sends from its caches (`app/serving/recommender.py`).
"""

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from msgspec import Struct

from app.core.boosts import Boosts
from app.core.candidates import Candidates
from app.core.catalogue import Card
from app.core.explained_places import MOST_EXPLAINED, explain_places, name_rules, rounded
from app.core.explanation import Explainer
from app.core.exploration import Chance, ExplorationPool, choose
from app.core.filling import filled
from app.core.filter_index import Matches
from app.core.history import History
from app.core.item_index import Numbers
from app.core.item_table import ItemTable
from app.core.model import MODEL, Model
from app.core.needs import (
    ChanceFrom,
    MatchesOf,
    Need,
    NumbersOf,
    RankingInputs,
    RankingInputsFor,
)
from app.core.own_items import met, own_exclusions
from app.core.profile import Profile, profile_of
from app.core.ranked import Exclusions, Ranked, Rows
from app.core.ranking import Ranking
from app.core.recommendation import Recommendation, RecommendationRequest, RecommendedItem
from app.core.rules import Rule, Rules
from app.core.slate import PageConstraints, Slate
from app.core.weights import Weights, size_of

# Of one category, as long as nothing is known of the user: the trending items of several categories, not of one.
_SOFT_MAX_SHARE: Final = 0.25


Answering: TypeAlias = Generator[Need, Any, Recommendation]
SourcesOf: TypeAlias = Callable[[Rows], list[str]]
"""The sources of the items in these rows of what was ranked, or `NOT_RANKED`."""


class Exploration(Struct, frozen=True):
    """`share` of the places, 0 to 1, goes to new items; `seed` decides which."""

    share: float = 0.0
    seed: str = ""


NO_EXPLORATION: Final = Exploration()


def for_user(
    history: History,
    request: RecommendationRequest,
    *,
    table: ItemTable,
    model: Model = MODEL,
    weights: Weights | None = None,
    version: int | None = None,
    seen: Collection[int] | None = None,
    exploration: Exploration = NO_EXPLORATION,
    preview: Rule | None = None,
) -> Answering:
    """`request.k` items for the user, or as many as may be served.

    `weights`, or the `version` of a model: what ranks instead of the weights that serve. With `seen`, a set of
    `signals.Kind`, the user's items that the user did one of these things with are left out. Items whose offer the user
    has ended are always left out. `preview`: a rule that acts as if it were stored.
    """
    now_ms, category = request.now_ms, request.category
    profile = profile_of(history, model, counted=table.model)
    among = request.among
    own_only = request.repeats == "only"
    explore = exploration.share > 0.0 and among is None and not own_only
    given: RankingInputs = yield RankingInputsFor(
        profile.seed_ids, profile.latest.keys(), category, explore, weights, version
    )
    only: Numbers | None = None if among is None else (yield NumbersOf(among))
    matches: Matches | None = None
    if request.filter is not None and among is None:
        matches = yield MatchesOf(request.filter, request)
    rules = given.rules if preview is None else given.rules.with_rule(preview)
    has_rules = bool(rules)
    factors = rules.boosted_items(now_ms, category) if has_rules else {}
    ended = profile.ended
    never = request.exclude
    if ended or factors:
        never = request.exclude.union([item_id for item_id, factor in factors.items() if factor <= 0.0], ended)
    shown = request.shown or frozenset()
    left_out = shown.union(history.ended_hashes)
    beside = given.popular.numbers if only is None else only.astype(np.int32).tobytes()
    candidates = Candidates(
        profile,
        given.neighbours,
        beside if matches is None else beside + matches.numbers.tobytes(),
        table,
        now_ms=given.popular.log_ms,
        content=given.content,
    )
    size = size_of(len(profile.latest))
    ranking = Ranking(table.index, candidates, *table.scored(given.weights).by_size[size])
    without = table.index.numbers(never if seen is None else met(history, seen) | never) if never or seen else []
    if matches is not None:
        without += matches.without(candidates.numbers)
    if left_out:
        hashes_left_out = np.fromiter(left_out, np.uint32)
        without += candidates.numbers[np.isin(table.hashes[candidates.numbers], hashes_left_out)].tolist()
    ranked = ranking.ranked(
        factors,
        without,
        request.repeats,
        own_exclusions(history, profile.latest.keys(), request.repeats, seen, left_out),
        only,
        None if matches is None else matches.numbers,
    )
    explored = (yield from _explored(given.pool, exploration, request.k, never, ranked)) if given.pool.ids else {}
    unknown = not history.entries and category is None and among is None
    constraints = PageConstraints(
        k=request.k,
        now_ms=now_ms,
        category=category,
        exclude=never,
        filter=request.filter,
        max_per_category=request.max_per_category,
        soft_max_per_category=max(1, round(request.k * _SOFT_MAX_SHARE)) if unknown else None,
        pins=_pins(rules, history, profile, request, seen) if has_rules else (),
        explored=explored,
    )
    boosts = None
    if has_rules and rules.needs_cards(now_ms, category):
        boosts = Boosts(rules, ranked, factors, now_ms=now_ms, category=category)
    rest = among if matches is None else matches.newest
    slate, cards = yield from filled(constraints, ranked, boosts, fallback=not own_only, among=rest)
    found = recommendation_of(slate, cards, ranked, ranking.sources, boosts, given.model_version)
    if request.explain:
        explainer = Explainer(table.index, ranked, ranking, profile, given.neighbours, given.content)
        yield from explain_places(found.items[:MOST_EXPLAINED], explainer, factors, boosts, category)
        yield from name_rules(found.items[:MOST_EXPLAINED], rules, now_ms, category)
    return found


def _pins(
    rules: Rules, history: History, profile: Profile, request: RecommendationRequest, seen: Collection[int] | None
) -> Sequence[tuple[int, str]]:
    """The pins of this list: none on later pages, and none of an item that this user is not to get in it."""
    if not request.pins or request.shown:
        return ()
    own = Exclusions(profile.latest.keys(), frozenset(history.seen_hashes))
    left_out = Exclusions(met(history, seen or ()), frozenset(history.ended_hashes))
    return [
        (place, item_id)
        for place, item_id in rules.pins(request.now_ms, request.category)
        if item_id not in left_out
        and (request.among is None or item_id in request.among)
        and (request.repeats != "avoid" or item_id not in own)
        and (request.repeats != "only" or item_id in own)
    ]


def _explored(
    pool: ExplorationPool, exploration: Exploration, k: int, without: Collection[str], ranked: Ranked
) -> Generator[Need, Any, Mapping[int, str]]:
    """Places (from 0) and the new items for them."""
    chance: Chance = yield ChanceFrom(exploration.seed)
    chosen = choose(pool, share=exploration.share, k=k, without=without, chance=chance)
    return {place: item_id for place, item_id in chosen.items() if item_id not in ranked.exclusions}


def recommendation_of(
    slate: Slate,
    cards: Mapping[str, Card],
    ranked: Ranked,
    sources_of: SourcesOf,
    boosts: Boosts | None,
    model_version: str,
) -> Recommendation:
    item_ids = slate.item_ids()
    rows, scores = ranked.rows_and_scores(item_ids)
    sources = sources_of(rows)
    if slate.sources:
        of_others = slate.sources
        sources = [of_others.get(item_id, source) for item_id, source in zip(item_ids, sources, strict=True)]
    if boosts is not None:
        scores = [score * boosts.factors.get(item_id, 1.0) for item_id, score in zip(item_ids, scores, strict=True)]
    items = [
        RecommendedItem(item_id, score, source, card.title, card.picture_url)
        for item_id, score, source, card in zip(
            item_ids, rounded(scores), sources, map(cards.__getitem__, item_ids), strict=True
        )
    ]
    return Recommendation(items, _most_frequent(sources) if sources else "none", model_version)


def _most_frequent(sources: list[str]) -> str:
    """Of equally frequent ones the first."""
    first = sources[0]
    return first if 2 * sources.count(first) > len(sources) else max(dict.fromkeys(sources), key=sources.count)
