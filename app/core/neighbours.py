"""How similar two items are, and the items most similar to one: its neighbours."""

from collections.abc import Sequence
from typing import Final, TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.core.item_index import ItemIndex
from app.core.model import MODEL, Model
from app.core.signals import decay_factor

_F = TypeVar("_F", float, NDArray[np.float64])


class Neighbours(Struct, frozen=True):
    """The items most similar to one item, best first, and how often its users come back to it (0 to 1).

    `numbers` (int32, of `ItemIndex`) and `similarities` (float32) are bytes: an answer joins some twenty lists out
    of thousands, and bytes are joined fastest, with one look into memory a list.
    """

    numbers: bytes = b""
    similarities: bytes = b""
    repeat_rate: float = 0.0


NO_NEIGHBOURS: Final = Neighbours()


def evidence(now_ms: int, model: Model = MODEL) -> float:
    """The candidate's frequency, as it is stored (forward-decayed), at which thin evidence halves a similarity."""
    return model.shrinkage / decay_factor(now_ms, model.covisitation_half_life_ms)


def similarity(
    pair_weight: _F, frequency_seed: float, frequency_candidate: _F, now_ms: int, model: Model = MODEL
) -> _F:
    """How much a candidate goes with an item, or many with one. All sums are forward-decayed and above 0; so is the
    answer.
    """
    factor = decay_factor(now_ms, model.covisitation_half_life_ms)
    candidate = frequency_candidate * factor
    shared = (frequency_seed * factor) ** model.seed_power * candidate**model.candidate_power
    found: _F = pair_weight * factor / shared * candidate / (candidate + model.shrinkage)
    return found


def neighbours_of(
    frequency: float,
    repeat_weight: float,
    pairs: tuple[Sequence[str], Sequence[float], Sequence[float]],
    *,
    now_ms: int,
    index: ItemIndex,
    model: Model = MODEL,
) -> Neighbours:
    """From an item's frequency and repeat_weight, and its pairs: the others' ids, the pairs' weights, the others'
    frequencies.
    """
    factor = decay_factor(now_ms, model.covisitation_half_life_ms)
    if frequency <= 0.0 or factor == 0.0:
        return NO_NEIGHBOURS
    item_ids, weights, frequencies = pairs[0], np.array(pairs[1], np.float64), np.array(pairs[2], np.float64)
    usable = np.flatnonzero((weights > 0.0) & (frequencies > 0.0))
    values = similarity(weights[usable], frequency, frequencies[usable], now_ms, model)
    best = np.argsort(-values, kind="stable")[: model.neighbours]
    return Neighbours(
        index.number(item_ids)[usable[best]].tobytes(),
        values[best].astype(np.float32).tobytes(),
        repeat_weight * factor / (frequency * factor + model.repeat_evidence),
    )
