"""From a user's history, its items' neighbours and what is popular, to candidates in order.

A candidate's score is the sum, over the user's latest items, of its similarity to each, the most recent weighing most,
plus a prior from popularity. Neither part is normalised by the other: with thin evidence the sum is small and the
prior decides, and the prior's own weight grows with the time since the user was last here. Item-to-item similarity as
such: G. Linden, B. Smith, J. York, "Amazon.com Recommendations", IEEE Internet Computing 7(1), 2003.
"""

from collections.abc import Collection, Mapping
from itertools import islice
from math import exp
from operator import attrgetter
from types import MappingProxyType
from typing import Final

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
from app.core.history import History
from app.core.model import MODEL, Model
from app.core.ranked import COVISITATION, POPULAR, RETURN, Cause, Met, Ranked, Ranking, Seed
from app.core.signals import Kind, shrink

__all__ = [
    "COVISITATION",
    "MODEL_VERSION",
    "NO_NEIGHBOURS",
    "NO_POPULAR",
    "POPULAR",
    "RETURN",
    "Cause",
    "Neighbours",
    "Popular",
    "Ranked",
    "Ranking",
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

_EVERY_KIND: Final = sum(1 << kind for kind in Kind)
_FIELDS: Final = attrgetter("item_id", "at_ms", "kind", "weight")


def seeds(history: History, model: Model = MODEL) -> list[str]:
    """The items of the history whose neighbours are candidates, most recent first, each once."""
    return list(islice(dict.fromkeys(entry.item_id for entry in history.entries), model.seeds))


def rank(
    history: History,
    neighbours: Mapping[str, Neighbours],
    popular: Popular,
    *,
    now_ms: int,
    exclude: Collection[str] = (),
    seen: Collection[int] | None = None,
    factors: Mapping[str, float] = MappingProxyType({}),
    model: Model = MODEL,
) -> Ranking:
    """The candidates for a user. `factors` multiplies the scores of items; 0 takes one out.

    What the user has is left out, unless it belongs to an earlier visit and users come back to it. With `seen` only
    what the user did one of these kinds of things with is left out, of the items in the history's entries.
    """
    latest = _latest(history)
    chosen = _seeds(latest, model)
    unit = _prior_weight(history, now_ms, model)
    # The sum starts as a copy of the prior, and similarities are added in units of it: one pass over each, not three.
    scores = dict(popular.prior)
    get = scores.get
    for item_id, weight, length in chosen:
        near = neighbours.get(item_id)
        if near is None:
            continue
        step = weight / unit
        for other, value in zip(near.ids[:length], near.similarity, strict=False):
            scores[other] = get(other, 0.0) + step * value
    returning = _returning(latest, neighbours, now_ms, model) if seen is None else {}
    kinds = _EVERY_KIND if seen is None else sum(1 << kind for kind in frozenset(seen))
    for item_id, met in latest.items():
        if met.kinds & kinds and item_id not in returning:
            scores.pop(item_id, None)
    for item_id in exclude:
        scores.pop(item_id, None)
    multiplied = _multiplied(returning, factors)
    for item_id, factor in multiplied.items():
        if item_id in scores:
            scores[item_id] *= factor
    return Ranking(
        scores,
        popular,
        unit=unit,
        seeds=chosen,
        latest=latest,
        neighbours=neighbours,
        factors=multiplied,
        returning=returning,
        kinds=kinds,
        marks=frozenset(history.marks) if seen is None else (),
    )


def similar(neighbours: Neighbours, *, exclude: Collection[str] = ()) -> Ranking:
    """What goes with an item; the score is the similarity."""
    scores = dict(zip(neighbours.ids, neighbours.similarity, strict=True))
    return Ranking({item_id: score for item_id, score in scores.items() if item_id not in exclude})


def popular(popular: Popular, *, now_ms: int, exclude: Collection[str] = (), model: Model = MODEL) -> Ranking:
    """What is popular; the score is the popularity now, in purchases of this moment."""
    scores = dict(zip(popular.ids, popular.scores, strict=True))
    for item_id in exclude:
        scores.pop(item_id, None)
    # All of the score is popularity, and so is the source.
    return Ranking(scores, Popular(prior=scores), unit=shrink(now_ms, model.popularity_half_life_ms))


def _latest(history: History) -> dict[str, Met]:
    """Item → what the user did with it, most recent first.

    Of what was done with an item the strongest counts (who bought also viewed), unless the last was to give it up.
    """
    found: dict[str, Met] = {}
    for item_id, at_ms, kind, weight in map(_FIELDS, history.entries):
        held = found.get(item_id)
        if held is None:
            found[item_id] = Met(weight, at_ms, kind, 1 << kind)
        else:
            stronger = weight if 0.0 <= held.weight < weight else held.weight
            found[item_id] = Met(stronger, held.at_ms, max(kind, held.kind), held.kinds | 1 << kind)
    return found


def _seeds(latest: Mapping[str, Met], model: Model) -> list[Seed]:
    """The strongest signal of the seeds counts 1, so that a log of views alone stands to the prior as one of purchases
    does.
    """
    chosen = list(islice(latest.items(), model.seeds))
    strongest = max((met.weight for _, met in chosen), default=0.0)
    fading = 1.0 if strongest <= 0.0 else 1.0 / strongest
    share = 1.0
    found = []
    for item_id, met in chosen:
        found.append((item_id, met.weight * fading, max(model.shortest_list, round(model.neighbours * share))))
        fading *= model.recency
        share *= model.recency
    return found


def _prior_weight(history: History, now_ms: int, model: Model) -> float:
    if not history.entries:
        return model.prior_stale
    age_ms = max(0, now_ms - history.entries[0].at_ms)
    stale = 1.0 - exp(-age_ms / model.stale_after_ms)
    return model.prior_fresh + (model.prior_stale - model.prior_fresh) * stale


def _returning(
    latest: Mapping[str, Met], neighbours: Mapping[str, Neighbours], now_ms: int, model: Model
) -> dict[str, float]:
    """The user's items that may be offered again, and what to multiply their scores by."""
    found = {}
    until_ms = now_ms - model.return_gap_ms
    for item_id, met in islice(latest.items(), model.seeds):
        if met.at_ms <= until_ms:
            rate = neighbours.get(item_id, NO_NEIGHBOURS).return_rate
            if rate > 0.0:
                found[item_id] = min(model.return_limit, model.return_gain * rate)
    return found


def _multiplied(returning: dict[str, float], factors: Mapping[str, float]) -> dict[str, float]:
    return {**returning, **{item_id: factor * returning.get(item_id, 1.0) for item_id, factor in factors.items()}}
