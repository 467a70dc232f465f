"""A store of plain dicts that answers the serving core's needs, with the cards, rules and histories of its tests."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from app.core import serving
from app.core.catalogue import UNKNOWN, Card
from app.core.content import Content
from app.core.content_index import ContentIndex
from app.core.exploration import EMPTY_POOL, ExplorationPool, exploration_pool_of
from app.core.history import NO_HISTORY, Entry, History
from app.core.item_features import SUMS
from app.core.item_index import ItemIndex
from app.core.item_table import ItemTable
from app.core.model import MODEL
from app.core.needs import (
    AlikeTo,
    CardsOf,
    ChanceFrom,
    CurrentRules,
    FallbackOf,
    Need,
    NeighboursOf,
    NumbersOf,
    PopularIn,
    RankingInputs,
    RankingInputsFor,
)
from app.core.neighbours import NO_NEIGHBOURS, Neighbours
from app.core.popularity import Popular
from app.core.recommendation import Recommendation, RecommendationRequest
from app.core.rules import NO_RULES, Rule, Rules
from app.core.serving import Exploration
from app.core.signals import HOUR_MS, LANDMARK_MS, Kind
from app.core.weights import Weights, weights_of
from tests.support.histories import merge_history

NOW_MS = LANDMARK_MS
FILMS = Card(categories=frozenset(["films"]))
BOOKS = Card(categories=frozenset(["books"]), tags=frozenset(["sale"]))
HIDDEN = Card(hidden=True)
TRYING = Exploration(0.5, "seed")
# A few features with weights that do not change with what is known of good weights.
PLAIN = weights_of(
    {
        "similar": (1.0,) * 4,
        "popular_week": (0.3,) * 4,
        "absence": (0.2,) * 4,
        "own": (-3.0,) * 4,
        "own_repeats": (1.5,) * 4,
    }
)


def bought(*item_ids: str, ago_ms: int = 60_000) -> History:
    """The first is the latest."""
    return merge_history(
        NO_HISTORY, [Entry(i, NOW_MS - ago_ms - n, Kind.PURCHASE, 1.0) for n, i in enumerate(item_ids)]
    )


def boost(factor: float, **target: str) -> Rule:
    return Rule(rule_id=f"{target}", action="boost", factor=factor, **target)


def pin(item_id: str, position: int) -> Rule:
    return Rule(rule_id=f"{position}", action="pin", item_id=item_id, position=position)


def near(
    index: ItemIndex, similarities: Mapping[str, float], following: Mapping[str, float] | None = None
) -> Neighbours:
    followers = following or {}
    values = np.array(list(similarities.values()), np.float32)
    return Neighbours.of(
        index.number(list(similarities)),
        values,
        values,
        index.number(list(followers)),
        np.array(list(followers.values()), np.float32),
    )


def item_table(popularity: Mapping[str, float], repeat_rate: float = 0.0) -> ItemTable:
    """Items with this popularity by each half-life, and a hundred events each, of which a share are repeats."""
    table = ItemTable(ItemIndex(), MODEL)
    numbers = table.index.number(list(popularity))
    sums = np.zeros((len(popularity), len(SUMS)))
    for row, value in zip(sums, popularity.values(), strict=True):
        values = {
            "popular_ms": NOW_MS,
            "popular_hours": value,
            "popular_day": value,
            "popular_week": value,
            "frequency": 100.0,
            "repeat_weight": 100.0 * repeat_rate,
            "events": 100.0,
            "users": 100.0,
            "first_ms": NOW_MS - 100 * HOUR_MS,
        }
        row[:] = [values[name] for name in SUMS]
    table.update(numbers, sums)
    table.refresh(NOW_MS)
    return table


class Store:
    """Answers needs from dicts, and keeps them in `needs`. `popular`: the items of all categories, best first.

    `weights`: what ranks. `content`: of the catalogue. `repeat_rate`: of the popular items.
    """

    def __init__(
        self,
        *,
        popular: Sequence[str] = (),
        cards: Mapping[str, Card] | None = None,
        neighbours: Mapping[str, Mapping[str, float]] | None = None,
        repeat_rate: float = 0.0,
        rules: Sequence[Rule] = (),
        pool: Sequence[str] = (),
        fallback: Sequence[str] = (),
        weights: Weights = PLAIN,
        content: Mapping[str, Content] | None = None,
    ) -> None:
        self.weights = weights
        self.content = ContentIndex(content or {}, NOW_MS)
        self.table = item_table({item_id: 1_000.0 - n for n, item_id in enumerate(popular)}, repeat_rate)
        self.index = self.table.index
        self.content.number(self.index)
        self.cards = cards or {}
        self.neighbours = {item_id: near(self.index, found) for item_id, found in (neighbours or {}).items()}
        self.popular = {
            category: self._popular([i for i in popular if category in (None, *self.card(i).categories)])
            for category in (None, "films", "books")
        }
        self.rules = Rules(rules) if rules else NO_RULES
        self.pool: ExplorationPool = exploration_pool_of([(item_id, 0, 0) for item_id in pool])
        self.fallback = fallback
        self.needs: list[Need] = []

    def _popular(self, item_ids: Sequence[str]) -> Popular:
        numbers = self.index.number(item_ids)
        return Popular(numbers.tobytes(), self.table.popularity(numbers).tobytes(), NOW_MS)

    def card(self, item_id: str) -> Card:
        return self.cards.get(item_id, UNKNOWN)

    def fetch(self, need: Need) -> Any:
        self.needs.append(need)
        match need:
            case CardsOf():
                return {item_id: self.card(item_id) for item_id in need.item_ids}
            case RankingInputsFor():
                neighbours = {item_id: self.neighbours.get(item_id, NO_NEIGHBOURS) for item_id in need.seeds}
                pool = self.pool if need.explore else EMPTY_POOL
                weights = self.weights if need.weights is None else need.weights
                return RankingInputs(
                    neighbours, self.popular[need.category], weights, "weights-1", self.rules, pool, self.content
                )
            case NumbersOf():
                return self.index.number(need.item_ids)
            case NeighboursOf():
                return self.neighbours.get(need.item_id, NO_NEIGHBOURS)
            case AlikeTo():
                return self.content.alike(need.item_id)
            case PopularIn():
                return self.popular[need.category]
            case CurrentRules():
                return self.rules
            case FallbackOf():
                return [i for i in self.fallback if need.category in (None, *self.card(i).categories)]
            case ChanceFrom():
                return random.Random(need.seed).random

    def asked(self, kind: type) -> bool:
        return any(isinstance(need, kind) for need in self.needs)

    def for_user(
        self,
        history: History = NO_HISTORY,
        k: int = 20,
        *,
        exploration: Exploration = serving.NO_EXPLORATION,
        seen: frozenset[int] | None = None,
        **request: Any,
    ) -> Recommendation:
        asked = RecommendationRequest(k=k, now_ms=NOW_MS, **request)
        answering = serving.for_user(history, asked, table=self.table, seen=seen, exploration=exploration)
        return answer(answering, self.fetch)


def answer(answering: serving.Answering, fetch: Callable[[Need], Any]) -> Recommendation:
    """Runs an answer to its end, where all that it needs is at hand."""
    try:
        need = next(answering)
        while True:
            need = answering.send(fetch(need))
    except StopIteration as finished:
        found: Recommendation = finished.value
        return found


def ids(found: Recommendation) -> list[str]:
    return [item.item_id for item in found.items]


def sources(found: Recommendation) -> dict[str, str]:
    return {item.item_id: item.source for item in found.items}
