"""From a user's history, its items' neighbours and what is popular, to candidates in order.

A candidate's score is the sum, over the user's latest items, of its similarity to each, the most recent weighing most,
plus a prior from popularity. Neither part is normalised by the other: with thin evidence the sum is small and the
prior decides, and the prior's own weight grows with the time since the user was last here. Item-to-item similarity:
G. Linden, B. Smith, J. York, "Amazon.com Recommendations", IEEE Internet Computing 7(1), 2003.
"""

from collections.abc import Collection, Mapping, Sequence
from math import exp
from types import MappingProxyType
from typing import Final

import numpy as np

from app.core.attribution import Attribution
from app.core.candidates import Candidates, Exclusions
from app.core.history import Entry, History
from app.core.item_index import ItemIndex, Numbers, Scores
from app.core.model import MODEL, Model
from app.core.neighbours import NO_NEIGHBOURS, Neighbours
from app.core.popularity import Popular
from app.core.profile import Profile
from app.core.signals import decay_factor

MODEL_VERSION: Final = "covisitation-3"


def rank(
    profile: Profile,
    neighbours: Mapping[str, Neighbours],
    popular: Popular,
    *,
    now_ms: int,
    index: ItemIndex,
    exclude: Collection[str] = (),
    seen: Collection[int] | None = None,
    factors: Mapping[str, float] = MappingProxyType({}),
) -> tuple[Candidates, Attribution]:
    """The candidates for a user. `neighbours`: of the profile's seeds. `factors` multiplies the scores of items; 0
    takes one out.

    What the user has is excluded, unless it belongs to an earlier visit and users come back to it. With `seen`, a
    set of `signals.Kind`, only those of the history's items are excluded that the user did one of these things with.
    """
    history, model, latest = profile.history, profile.model, profile.latest
    lists = [neighbours.get(seed.item_id, NO_NEIGHBOURS) for seed in profile.seeds]
    prior = _prior_weight(history, now_ms, model)
    if seen is None:
        repeatable = _repeatable(profile.seeds, lists, now_ms, model)
        excluded = latest.keys() - repeatable.keys() if repeatable else latest.keys()
    else:
        repeatable = {}
        excluded = {entry.item_id for entry in history.entries if entry.kind in seen}
    if repeatable and factors:
        factors = {**repeatable, **{item_id: f * repeatable.get(item_id, 1.0) for item_id, f in factors.items()}}
    elif repeatable:
        factors = repeatable
    # What is popular is one more list, whose weight is the prior's.
    sums = index.sums(
        _joined_numbers([popular.numbers, *[near.numbers for near in lists]]),
        _weighed([popular.shares, *[near.similarities for near in lists]], [prior, *profile.weights]),
        factors,
        [*excluded, *exclude],
    )
    seen_hashes = frozenset(history.seen_hashes) if seen is None else frozenset()
    return (
        Candidates(index, sums, Exclusions(excluded, seen_hashes, repeatable)),
        Attribution(popular.prior, prior, factors, repeatable),
    )


def similar(
    neighbours: Neighbours, *, index: ItemIndex, exclude: Collection[str] = ()
) -> tuple[Candidates, Attribution]:
    """What goes with an item; the score is the similarity."""
    numbers, similarities = _joined_numbers([neighbours.numbers]), _weighed([neighbours.similarities], [1.0])
    return Candidates(index, index.sums(numbers, similarities, {}, exclude)), Attribution()


def popular(
    popular: Popular, *, now_ms: int, index: ItemIndex, exclude: Collection[str] = (), model: Model = MODEL
) -> tuple[Candidates, Attribution]:
    """What is popular; the score is the popularity now, in purchases."""
    numbers = _joined_numbers([popular.numbers])
    now = np.array(popular.scores, np.float64) * decay_factor(now_ms, model.popularity_half_life_ms)
    # All of the score is popularity, and so is the source.
    prior = dict(zip(popular.ids, now.tolist(), strict=True))
    return Candidates(index, index.sums(numbers, now.astype(np.float32), {}, exclude)), Attribution(prior)


def _joined_numbers(lists: list[bytes]) -> Numbers:
    return np.frombuffer(b"".join(lists), np.int32)


def _weighed(lists: list[bytes], weights: list[float]) -> Scores:
    terms = np.frombuffer(b"".join(lists), np.float32)
    return terms * np.fromiter(weights, np.float32, len(weights)).repeat([len(some) // 4 for some in lists])


def _prior_weight(history: History, now_ms: int, model: Model) -> float:
    if not history.entries:
        return model.prior_stale
    age_ms = max(0, now_ms - history.entries[0].at_ms)
    stale = 1.0 - exp(-age_ms / model.stale_after_ms)
    return model.prior_fresh + (model.prior_stale - model.prior_fresh) * stale


def _repeatable(seeds: Sequence[Entry], lists: Sequence[Neighbours], now_ms: int, model: Model) -> dict[str, float]:
    """The user's items that may be offered again, and what to multiply their scores by. `lists`: their neighbours."""
    until_ms, gain, limit = now_ms - model.repeat_gap_ms, model.repeat_gain, model.repeat_limit
    return {
        entry.item_id: factor if (factor := gain * rate) < limit else limit
        for entry, near in zip(seeds, lists, strict=True)
        if (rate := near.repeat_rate) > 0.0 and entry.at_ms <= until_ms
    }
