"""From a user's history, its items' neighbours and what is popular, to candidates in order.

A candidate's score is the sum, over the user's latest items, of its similarity to each, the most recent weighing most,
plus a prior from popularity. Neither part is normalised by the other: with thin evidence the sum is small and the
prior decides, and the prior's own weight grows with the time since the user was last here. Item-to-item similarity as
such: G. Linden, B. Smith, J. York, "Amazon.com Recommendations", IEEE Internet Computing 7(1), 2003.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from math import exp
from types import MappingProxyType
from typing import Final

import numpy as np

from app.core.accumulators import Accumulators, Numbers, Scores
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
from app.core.history import Entry, History
from app.core.model import MODEL, Model
from app.core.ranked import COVISITATION, POPULAR, RETURN, Cause, Ranked, Ranking
from app.core.signals import shrink

__all__ = [
    "COVISITATION",
    "MODEL_VERSION",
    "NO_NEIGHBOURS",
    "NO_POPULAR",
    "POPULAR",
    "RETURN",
    "Accumulators",
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

MODEL_VERSION: Final = "covisitation-3"


def seeds(history: History, model: Model = MODEL) -> list[str]:
    """The items of the history whose neighbours are candidates, most recent first, each once."""
    return list(islice(dict.fromkeys(entry.item_id for entry in history.entries), model.seeds))


def rank(
    history: History,
    neighbours: Mapping[str, Neighbours],
    popular: Popular,
    *,
    now_ms: int,
    slots: Accumulators,
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
    chosen = list(islice(latest.values(), model.seeds))
    weights = _weights(chosen, model)
    lists = [neighbours.get(seed.item_id, NO_NEIGHBOURS) for seed in chosen]
    prior = _prior_weight(history, now_ms, model)
    # What is popular is one more list, whose weight is the prior's.
    numbers = _joined_numbers([popular.numbers, *[near.numbers for near in lists]])
    terms = _weighed([popular.shares, *[near.similarities for near in lists]], [prior, *weights])
    returning: dict[str, float] = {}
    if seen is None:
        left_out = set(latest)
        if returning := _returning(latest, neighbours, now_ms, model):
            left_out.difference_update(returning)
            factors = {**returning, **{item_id: f * returning.get(item_id, 1.0) for item_id, f in factors.items()}}
    else:
        left_out = {entry.item_id for entry in history.entries if entry.kind in seen}
    numbers, scores = slots.totals(
        numbers,
        terms,
        without=slots.find_all([*left_out, *exclude]),
        factors={n: factor for item_id, factor in factors.items() if (n := slots.find(item_id)) is not None},
    )
    return Ranking(
        slots,
        numbers,
        scores,
        prior=popular.prior,
        prior_weight=prior,
        seeds=chosen,
        weights=weights,
        neighbours=neighbours,
        factors=factors,
        returning=returning,
        left_out=left_out,
        marks=frozenset(history.marks) if seen is None else frozenset(),
    )


def similar(neighbours: Neighbours, *, slots: Accumulators, exclude: Collection[str] = ()) -> Ranking:
    """What goes with an item; the score is the similarity."""
    numbers, similarities = _joined_numbers([neighbours.numbers]), _weighed([neighbours.similarities], [1.0])
    return Ranking(slots, *slots.totals(numbers, similarities, without=slots.find_all(exclude), factors={}))


def popular(
    popular: Popular, *, now_ms: int, slots: Accumulators, exclude: Collection[str] = (), model: Model = MODEL
) -> Ranking:
    """What is popular; the score is the popularity now, in purchases of this moment."""
    numbers = _joined_numbers([popular.numbers])
    now = np.array(popular.scores, np.float64) * shrink(now_ms, model.popularity_half_life_ms)
    # All of the score is popularity, and so is the source.
    prior = dict(zip(popular.ids, now.tolist(), strict=True))
    found = slots.totals(numbers, now.astype(np.float32), without=slots.find_all(exclude), factors={})
    return Ranking(slots, *found, prior=prior)


def _joined_numbers(lists: list[bytes]) -> Numbers:
    return np.frombuffer(b"".join(lists), np.int32).astype(np.intp)


def _weighed(lists: list[bytes], weights: list[float]) -> Scores:
    terms = np.frombuffer(b"".join(lists), np.float32)
    return terms * np.repeat(np.array(weights, np.float32), [len(some) // 4 for some in lists])


def _latest(history: History) -> dict[str, Entry]:
    """Item → what the user did with it, most recent first.

    Of what was done with an item the strongest counts (who bought also viewed), unless the last was to give it up.
    """
    found: dict[str, Entry] = {}
    for entry in history.entries:
        item_id = entry.item_id
        held = found.setdefault(item_id, entry)
        if held is not entry:
            stronger = entry.weight if 0.0 <= held.weight < entry.weight else held.weight
            found[item_id] = Entry(item_id, held.at_ms, max(entry.kind, held.kind), stronger)
    return found


def _weights(chosen: Sequence[Entry], model: Model) -> list[float]:
    """The strongest signal counts 1, so that a log of views alone stands to the prior as one of purchases does.

    Items of one moment share the mean of their places' weights: their ids put them in order, and mean nothing.
    """
    strongest = max([entry.weight for entry in chosen], default=0.0)
    unit = 1.0 if strongest <= 0.0 else 1.0 / strongest
    shares = []
    for _ in chosen:
        shares.append(unit)
        unit *= model.recency
    first = 0
    for place in range(1, len(chosen) + 1):
        if place == len(chosen) or chosen[place].at_ms != chosen[first].at_ms:
            if place - first > 1:
                shares[first:place] = [sum(shares[first:place]) / (place - first)] * (place - first)
            first = place
    return [entry.weight * share for entry, share in zip(chosen, shares, strict=True)]


def _prior_weight(history: History, now_ms: int, model: Model) -> float:
    if not history.entries:
        return model.prior_stale
    age_ms = max(0, now_ms - history.entries[0].at_ms)
    stale = 1.0 - exp(-age_ms / model.stale_after_ms)
    return model.prior_fresh + (model.prior_stale - model.prior_fresh) * stale


def _returning(
    latest: Mapping[str, Entry], neighbours: Mapping[str, Neighbours], now_ms: int, model: Model
) -> dict[str, float]:
    """The user's items that may be offered again, and what to multiply their scores by."""
    found = {}
    until_ms = now_ms - model.return_gap_ms
    for item_id, entry in islice(latest.items(), model.seeds):
        if entry.at_ms <= until_ms:
            rate = neighbours.get(item_id, NO_NEIGHBOURS).return_rate
            if rate > 0.0:
                found[item_id] = min(model.return_limit, model.return_gain * rate)
    return found
