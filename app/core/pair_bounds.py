"""Which pairs of an item are kept: its best ones, those that are among the best of the other item, and young ones.

A pair is judged from both ends. Each item has a *floor*, the strength of the last pair that it keeps; a pair that is
weaker than the floors of both of its items is in no list, and will not be soon. So an item that is in few lists keeps
its way to the popular ones, and there are at most as many old pairs as items times `kept`.
"""

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.core.model import MODEL, Model
from app.core.neighbours import Values

NO_FLOOR: Final = 0.0
"""The floor of an item that keeps all of its pairs."""


class ItemEnd(Struct, frozen=True):
    """The item of some pairs, or the other items of them as columns; frequency and events are forward-decayed."""

    frequency: Values
    events: Values


def strength(weights: Values, follows: Values, of: ItemEnd, to: ItemEnd, evidence: float, model: Model) -> Values:
    """How strong the pairs are in the list of `of`: what `read_neighbours` orders by, similarity and following.

    `follows`: how often `to` followed. `evidence`: see `app.core.neighbours.evidence`. 0 where a frequency is 0.
    """
    shared = of.frequency**model.seed_power * to.frequency**model.candidate_power
    found: Values = np.divide(weights, shared, out=np.zeros_like(weights), where=shared > 0.0)
    found *= to.events / (to.events + evidence)
    found += np.divide(follows, of.frequency, out=np.zeros_like(weights), where=of.frequency > 0.0)
    return found


class JudgedPairs(Struct, frozen=True):
    """The pairs of one item. `floor`: its own. `pruned`: which pairs go."""

    floor: float
    pruned: NDArray[np.bool_]


def judge(here: Values, there: Values, floors: Values, young: NDArray[np.bool_], *, kept: int) -> JudgedPairs:
    """`here`, `there`: the strength of each pair in the list of the item, and in that of the other one. `floors`: of
    the others, as they were judged last.
    """
    if len(here) <= kept:
        return JudgedPairs(NO_FLOOR, np.zeros(len(here), np.bool_))
    floor = float(np.partition(here, -kept)[-kept])
    return JudgedPairs(floor, (here < floor) & (there < floors) & ~young)


def judge_pairs(
    item: ItemEnd,
    others: ItemEnd,
    *,
    weights: Values,
    follows: Values,
    followed: Values,
    floors: Values,
    young: NDArray[np.bool_],
    kept: int,
    evidence: float,
    model: Model = MODEL,
) -> JudgedPairs:
    """`follows`: how often the other followed the item; `followed`: the item the other."""
    here = strength(weights, follows, item, others, evidence, model)
    there = strength(weights, followed, others, item, evidence, model)
    return judge(here, there, floors, young, kept=kept)
