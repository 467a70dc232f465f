"""From a user's history, its items' neighbours and what is popular, to a ranked list.

A candidate's score is the sum, over the user's latest items, of its similarity to each, the most recent weighing most,
plus a prior from popularity. Neither part is normalised by the other: with thin evidence the sum is small and the
prior decides, and the prior's own weight grows with the time since the user was last here. Item-to-item similarity as
such: G. Linden, B. Smith, J. York, "Amazon.com Recommendations", IEEE Internet Computing 7(1), 2003.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import nlargest
from itertools import islice
from math import exp
from typing import Final

from msgspec import Struct

from app.core.candidates import (
    NO_NEIGHBOURS,
    NO_POPULAR,
    Neighbours,
    Popular,
    evidence,
    neighbours_of,
    popular_of,
    similarity,
)
from app.core.history import History, mark
from app.core.model import MODEL, Model
from app.core.signals import shrink

__all__ = [
    "COVISITATION",
    "MODEL_VERSION",
    "NO_NEIGHBOURS",
    "NO_POPULAR",
    "POPULAR",
    "RETURN",
    "Neighbours",
    "Popular",
    "Ranked",
    "evidence",
    "neighbours_of",
    "popular",
    "popular_of",
    "rank",
    "seeds",
    "similar",
    "similarity",
]

MODEL_VERSION: Final = "covisitation-2"

COVISITATION: Final = "covisitation"
POPULAR: Final = "popular"
RETURN: Final = "return"

_CAUSES: Final = 3

Allowed = Callable[[str], bool]


class Ranked(Struct, frozen=True):
    """One place of an answer. `because`: the user's items that led here, the strongest first, where asked for."""

    item_id: str
    score: float
    source: str
    because: tuple[str, ...] = ()


def seeds(history: History, model: Model = MODEL) -> list[str]:
    """The items of the history whose neighbours are candidates, most recent first, each once."""
    return list(islice(_latest(history), model.seeds))


def rank(
    history: History,
    neighbours: Mapping[str, Neighbours],
    popular: Popular,
    *,
    now_ms: int,
    k: int,
    exclude: frozenset[str] = frozenset(),
    allowed: Allowed | None = None,
    explain: bool = False,
    model: Model = MODEL,
) -> list[Ranked]:
    """Up to `k` items for the user, best first; `allowed` says which may be served, and is asked as few as it can.

    What the user has is left out, unless it belongs to an earlier visit and users come back to it.
    """
    latest = _latest(history)
    weights = _seeds(latest, model)
    prior_weight = _prior_weight(history, now_ms, model)
    # The sum starts as a copy of the prior, and similarities are added in units of it: one pass over each, not three.
    scores = dict(popular.prior)
    for item_id, weight, length in weights:
        near = neighbours.get(item_id)
        if near is None:
            continue
        step = weight / prior_weight
        get = scores.get
        for other, value in zip(islice(near.ids, length), near.similarity, strict=False):
            scores[other] = get(other, 0.0) + step * value
    returning = _returning(latest, neighbours, now_ms, model)
    for item_id in latest:
        if item_id in returning and item_id in scores:
            scores[item_id] *= returning[item_id]
        else:
            scores.pop(item_id, None)
    best = _best(scores, k, exclude, allowed, frozenset(history.marks), returning)
    lists = (
        [(item_id, weight, _lookup(neighbours.get(item_id), length)) for item_id, weight, length in weights]
        if explain
        else []
    )
    return [
        Ranked(
            item_id,
            scores[item_id] * prior_weight,
            _source(item_id, scores[item_id], popular, returning),
            _because(item_id, lists) if explain else (),
        )
        for item_id in best
    ]


def similar(
    item_id: str,
    neighbours: Neighbours,
    *,
    k: int,
    exclude: frozenset[str] = frozenset(),
    allowed: Allowed | None = None,
) -> list[Ranked]:
    """Up to `k` items that go with this one; the score is the similarity."""
    found = zip(neighbours.ids, neighbours.similarity, strict=True)
    return [
        Ranked(other, score, COVISITATION, (item_id,))
        for other, score in islice(_kept(found, exclude | {item_id}, allowed), k)
    ]


def popular(
    popular: Popular,
    *,
    now_ms: int,
    k: int,
    exclude: frozenset[str] = frozenset(),
    allowed: Allowed | None = None,
    model: Model = MODEL,
) -> list[Ranked]:
    """Up to `k` of what is popular; the score is the popularity now, in purchases of this moment."""
    factor = shrink(now_ms, model.popularity_half_life_ms)
    found = zip(popular.ids, popular.scores, strict=True)
    return [Ranked(other, score * factor, POPULAR) for other, score in islice(_kept(found, exclude, allowed), k)]


def _kept(
    found: Iterator[tuple[str, float]], exclude: frozenset[str], allowed: Allowed | None
) -> Iterator[tuple[str, float]]:
    return (
        (item_id, score) for item_id, score in found if item_id not in exclude and (allowed is None or allowed(item_id))
    )


def _latest(history: History) -> dict[str, tuple[float, int]]:
    """Item → what the user said of it and when the user last met it, most recent first.

    Of what was done with an item the strongest counts (who bought also viewed), unless the last was to give it up.
    """
    found: dict[str, tuple[float, int]] = {}
    for entry in history.entries:
        held = found.get(entry.item_id)
        if held is None:
            found[entry.item_id] = entry.weight, entry.at_ms
        elif 0.0 <= held[0] < entry.weight:
            found[entry.item_id] = entry.weight, held[1]
    return found


def _seeds(latest: Mapping[str, tuple[float, int]], model: Model) -> list[tuple[str, float, int]]:
    """Item, weight and how far its list is read. The strongest signal of the seeds counts 1, so that a log of views
    alone stands to the prior as one of purchases does.
    """
    chosen = [(item_id, weight) for item_id, (weight, _) in islice(latest.items(), model.seeds)]
    strongest = max((weight for _, weight in chosen), default=0.0)
    fading = 1.0
    found = []
    for item_id, weight in chosen:
        length = max(model.shortest_list, round(model.neighbours * fading))
        found.append((item_id, weight / strongest * fading if strongest > 0.0 else weight * fading, length))
        fading *= model.recency
    return found


def _prior_weight(history: History, now_ms: int, model: Model) -> float:
    if not history.entries:
        return model.prior_stale
    age_ms = max(0, now_ms - history.entries[0].at_ms)
    stale = 1.0 - exp(-age_ms / model.stale_after_ms)
    return model.prior_fresh + (model.prior_stale - model.prior_fresh) * stale


def _returning(
    latest: Mapping[str, tuple[float, int]], neighbours: Mapping[str, Neighbours], now_ms: int, model: Model
) -> dict[str, float]:
    """The user's items that may be offered again, and what to multiply their scores by."""
    found = {}
    until_ms = now_ms - model.return_gap_ms
    for item_id, (_, at_ms) in islice(latest.items(), model.seeds):
        if at_ms <= until_ms:
            rate = neighbours.get(item_id, NO_NEIGHBOURS).return_rate
            if rate > 0.0:
                found[item_id] = min(model.return_limit, model.return_gain * rate)
    return found


def _best(
    scores: dict[str, float],
    k: int,
    exclude: frozenset[str],
    allowed: Allowed | None,
    marks: frozenset[int],
    returning: Mapping[str, float],
) -> list[str]:
    """The `k` best that may be served. No more is ordered than is needed: usually nothing is left out."""
    ordered = sorted(scores.values(), reverse=True)
    wanted = k + len(exclude)
    while ordered:
        # Numbers sort faster than items by their number: find the score that gets in, then order what has it.
        least = ordered[min(wanted, len(ordered)) - 1]
        best = [
            item_id
            for item_id in sorted(
                [item_id for item_id, score in scores.items() if score >= least and score > 0.0],
                key=scores.__getitem__,
                reverse=True,
            )
            if item_id not in exclude
            and (not marks or item_id in returning or mark(item_id) not in marks)
            and (allowed is None or allowed(item_id))
        ]
        if len(best) >= k or wanted >= len(ordered):
            return best[:k]
        wanted *= 4
    return []


def _source(item_id: str, score: float, popular: Popular, returning: Mapping[str, float]) -> str:
    if item_id in returning:
        return RETURN
    return POPULAR if popular.prior.get(item_id, 0.0) * 2.0 >= score else COVISITATION


def _lookup(near: Neighbours | None, length: int) -> dict[str, float]:
    return {} if near is None else dict(zip(islice(near.ids, length), near.similarity, strict=False))


def _because(item_id: str, lists: Sequence[tuple[str, float, dict[str, float]]]) -> tuple[str, ...]:
    causes = [(weight * near[item_id], seed) for seed, weight, near in lists if item_id in near]
    return tuple(seed for part, seed in nlargest(_CAUSES, causes) if part > 0.0)
