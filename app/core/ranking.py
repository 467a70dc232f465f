"""From a user's history, its items' neighbours and what is popular, to a ranked list.

Interface used by app/api/recommender.py: seeds, rank, similar, popular, neighbours_of, popular_of, NEIGHBOURS_KEPT,
FREQUENCY_POWER, MODEL_VERSION, NO_NEIGHBOURS, NO_POPULAR.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from app.core.features import History
from app.core.signals import POPULARITY_HALF_LIFE_MS, shrink

MODEL_VERSION: Final = "covisitation-1"
NEIGHBOURS_KEPT: Final = 50
FREQUENCY_POWER: Final = 0.5
_SEEDS: Final = 20
_RECENCY: Final = 0.8


class Neighbours(Struct, frozen=True):
    """Of one item, best first."""

    ids: tuple[str, ...] = ()
    similarity: tuple[float, ...] = ()


class Popular(Struct, frozen=True):
    ids: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()


class Ranked(Struct, frozen=True):
    item_id: str
    score: float
    source: str
    because: tuple[str, ...] = ()


NO_NEIGHBOURS: Final = Neighbours()
NO_POPULAR: Final = Popular()


def seeds(history: History) -> list[str]:
    """The items of the history whose neighbours are candidates, most recent first, each once."""
    return list(dict.fromkeys(entry.item_id for entry in history))[:_SEEDS]


def neighbours_of(frequency: float, pairs: Sequence[tuple[str, float, float]]) -> Neighbours:
    """From an item's frequency and its pairs (id, weight, the other's frequency)."""
    scored = sorted(
        ((weight / (frequency * other) ** FREQUENCY_POWER, item_id) for item_id, weight, other in pairs), reverse=True
    )
    return Neighbours(tuple(item_id for _, item_id in scored), tuple(score for score, _ in scored))


def popular_of(rows: Sequence[tuple[str, float]]) -> Popular:
    """From items with their forward-decayed popularity, best first."""
    return Popular(tuple(item_id for item_id, _ in rows), tuple(score for _, score in rows))


def rank(
    history: History,
    neighbours: Mapping[str, Neighbours],
    popular: Popular,
    *,
    now_ms: int,
    k: int,
    exclude: frozenset[str] = frozenset(),
) -> list[Ranked]:
    scores: dict[str, float] = {}
    because: dict[str, list[str]] = {}
    for place, seed in enumerate(seeds(history)):
        near = neighbours.get(seed, NO_NEIGHBOURS)
        for item_id, similarity in zip(near.ids, near.similarity, strict=True):
            scores[item_id] = scores.get(item_id, 0.0) + similarity * _RECENCY**place
            because.setdefault(item_id, []).append(seed)
    best = sorted((item_id for item_id in scores if item_id not in exclude), key=lambda i: (-scores[i], i))[:k]
    ranked = [Ranked(item_id, scores[item_id], "covisitation", tuple(because[item_id][:3])) for item_id in best]
    taken = exclude | set(best)
    rest = Popular(*zip(*((i, s) for i, s in zip(popular.ids, popular.scores, strict=True) if i not in taken), strict=True)) if set(popular.ids) - taken else NO_POPULAR
    return ranked + globals()["popular"](rest, now_ms=now_ms, k=k - len(ranked))


def similar(item_id: str, neighbours: Neighbours, *, k: int, exclude: frozenset[str] = frozenset()) -> list[Ranked]:
    found = zip(neighbours.ids, neighbours.similarity, strict=True)
    return [Ranked(other, score, "covisitation", (item_id,)) for other, score in found if other not in exclude][:k]


def popular(popular: Popular, *, now_ms: int, k: int, exclude: frozenset[str] = frozenset()) -> list[Ranked]:
    factor = shrink(now_ms, POPULARITY_HALF_LIFE_MS)
    found = zip(popular.ids, popular.scores, strict=True)
    return [Ranked(other, score * factor, "popular") for other, score in found if other not in exclude][:k]
