"""A store of plain dicts that answers the serving core's needs, with the cards, rules and histories of its tests."""

import random
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from app.core import serving
from app.core.catalogue import UNKNOWN, Card
from app.core.exploration import EMPTY_POOL, ExplorationPool, exploration_pool_of
from app.core.history import NO_HISTORY, Entry, History
from app.core.item_index import ItemIndex
from app.core.needs import (
    CardsOf,
    ChanceFrom,
    CurrentRules,
    FallbackOf,
    Need,
    NeighboursOf,
    PopularIn,
    RankingInputs,
    RankingInputsFor,
)
from app.core.neighbours import NO_NEIGHBOURS, Neighbours
from app.core.popularity import popular_of
from app.core.recommendation import Recommendation, RecommendationRequest
from app.core.rules import NO_RULES, Rule, Rules
from app.core.serving import Exploration
from app.core.signals import LANDMARK_MS, Kind
from tests.support.histories import merge_history

NOW_MS = LANDMARK_MS
FILMS = Card(categories=frozenset(["films"]))
BOOKS = Card(categories=frozenset(["books"]), tags=frozenset(["sale"]))
HIDDEN = Card(hidden=True)
TRYING = Exploration(0.5, "seed")


def bought(*item_ids: str, ago_ms: int = 60_000) -> History:
    """The first is the latest."""
    return merge_history(
        NO_HISTORY, [Entry(i, NOW_MS - ago_ms - n, Kind.PURCHASE, 1.0) for n, i in enumerate(item_ids)]
    )


def boost(factor: float, **target: str) -> Rule:
    return Rule(rule_id=f"{target}", action="boost", factor=factor, **target)


def pin(item_id: str, position: int) -> Rule:
    return Rule(rule_id=f"{position}", action="pin", item_id=item_id, position=position)


class Store:
    """Answers needs from dicts, and keeps them in `needs`. `popular`: the items of all categories, best first."""

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
    ) -> None:
        self.index = ItemIndex()
        self.cards = cards or {}
        self.neighbours = {
            item_id: Neighbours(
                self.index.number(list(near)).tobytes(), array("f", near.values()).tobytes(), repeat_rate
            )
            for item_id, near in (neighbours or {}).items()
        }
        self.popular = {
            category: popular_of(
                [(i, 1_000.0 - n) for n, i in enumerate(popular) if category in (None, *self.card(i).categories)],
                index=self.index,
            )
            for category in (None, "films", "books")
        }
        self.rules = Rules(rules) if rules else NO_RULES
        self.pool: ExplorationPool = exploration_pool_of([(item_id, 0, 0) for item_id in pool])
        self.fallback = fallback
        self.needs: list[Need] = []

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
                return RankingInputs(neighbours, self.popular[need.category], self.rules, pool)
            case NeighboursOf():
                return self.neighbours.get(need.item_id, NO_NEIGHBOURS)
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
        answering = serving.for_user(history, asked, index=self.index, seen=seen, exploration=exploration)
        return serving.answer(answering, self.fetch)


def ids(found: Recommendation) -> list[str]:
    return [item.item_id for item in found.items]


def sources(found: Recommendation) -> dict[str, str]:
    return {item.item_id: item.source for item in found.items}
