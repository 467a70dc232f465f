"""What a ranking chooses from: the neighbours of an item, and what is popular."""

from array import array
from collections.abc import Sequence
from heapq import nlargest
from math import pow
from typing import Final

from msgspec import Struct, field

from app.core.model import MODEL, Model
from app.core.signals import shrink


class Neighbours(Struct, frozen=True):
    """The items most similar to one item, best first, and how often its users come back to it (0 to 1).

    `similarity` is one block of memory where it comes from `neighbours_of`: an answer reads hundreds of them, out of
    thousands of lists, and a float object each would be a cache miss each.
    """

    ids: tuple[str, ...] = ()
    similarity: Sequence[float] = ()
    return_rate: float = 0.0


class Popular(Struct, frozen=True):
    """Items best first. `scores` are forward-decayed popularity; `prior` is each item's share of it, 0 to 1."""

    ids: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    prior: dict[str, float] = field(default_factory=dict)


NO_NEIGHBOURS: Final = Neighbours()
NO_POPULAR: Final = Popular()


def evidence(now_ms: int, model: Model = MODEL) -> float:
    """The pair weight, as it is stored (forward-decayed), at which a similarity is halved for thin evidence."""
    return model.shrinkage / shrink(now_ms, model.covisitation_half_life_ms)


def similarity(
    pair_weight: float, frequency_seed: float, frequency_candidate: float, now_ms: int, model: Model = MODEL
) -> float:
    """How much a candidate goes with an item. All three sums are forward-decayed and above 0; the answer is above 0."""
    factor = shrink(now_ms, model.covisitation_half_life_ms)
    weight = pair_weight * factor
    shared = pow(frequency_seed * factor, model.seed_power) * pow(frequency_candidate * factor, model.candidate_power)
    return weight / shared * weight / (weight + model.shrinkage)


def neighbours_of(
    frequency: float,
    returns: float,
    pairs: Sequence[tuple[str, float, float]],
    *,
    now_ms: int,
    model: Model = MODEL,
) -> Neighbours:
    """From an item's frequency and returns, and its pairs: the other's id, the pair's weight, the other's frequency."""
    factor = shrink(now_ms, model.covisitation_half_life_ms)
    if frequency <= 0.0 or factor == 0.0:
        return NO_NEIGHBOURS
    found = nlargest(
        model.neighbours,
        (
            (similarity(weight, frequency, other, now_ms, model), item_id)
            for item_id, weight, other in pairs
            if weight > 0.0 and other > 0.0
        ),
    )
    return Neighbours(
        tuple(item_id for _, item_id in found),
        array("d", (score for score, _ in found)),
        returns * factor / (frequency * factor + model.return_evidence),
    )


def popular_of(rows: Sequence[tuple[str, float]], model: Model = MODEL) -> Popular:
    """From items with their forward-decayed popularity (above 0), best first."""
    if not rows:
        return NO_POPULAR
    highest = rows[0][1]
    return Popular(
        tuple(item_id for item_id, _ in rows),
        tuple(score for _, score in rows),
        {item_id: (score / highest) ** model.prior_power for item_id, score in rows},
    )
