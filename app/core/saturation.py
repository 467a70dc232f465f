"""A user's share of an item's sums saturates, so that one user cannot push an item to the top for everybody.

What a user adds to an item's popularity is a function of two numbers of that user and item: the decayed sum of the
signal weights, and the time of the newest event. Up to `Model.user_linear` it is the sum itself; beyond, it approaches
twice that, however many events come. An event adds the difference that it makes, so the total does not depend on the
order of arrival, as long as the history holds the item. Of an item that the history has forgotten, events of before its
entries add nothing: they would count in full, each of them.
"""

from collections.abc import Sequence
from math import exp2

from msgspec import Struct

from app.core.history import Entry
from app.core.model import Model


class Counted(Struct, frozen=True, gc=False):
    """What an event adds to popularity, as a value at `popular_ms`; and the `share` of its weight, 0 to 1, that it adds
    to other sums.
    """

    popularity: float
    popular_ms: int
    share: float


def counted(held: Sequence[Entry], entry: Entry, model: Model, *, forgotten: bool) -> Counted:
    """`held`: the entries of the event's item in the user's history. `forgotten`: there are none, since the history has
    dropped them, and it would drop this one too.
    """
    if forgotten:
        return Counted(0.0, entry.at_ms, 0.0)
    half_life_ms, linear = model.weekly_half_life_ms, model.user_linear
    if not held:
        return Counted(entry.weight, entry.at_ms, 1.0)
    held_ms = max(other.at_ms for other in held)
    newest_ms = max(held_ms, entry.at_ms)
    unit = exp2((held_ms - newest_ms) / half_life_ms)
    before = sum((other.weight + other.other_weight) * exp2((other.at_ms - newest_ms) / half_life_ms) for other in held)
    added = entry.weight * exp2((entry.at_ms - newest_ms) / half_life_ms)
    if max(abs(before) / unit, abs(before + added)) <= linear or not added:
        return Counted(entry.weight, entry.at_ms, 1.0)
    adds = _saturated(before + added, linear) - unit * _saturated(before / unit, linear)
    return Counted(adds, newest_ms, min(1.0, max(0.0, adds / added)))


def _saturated(weight: float, linear: float) -> float:
    """What counts of a user's decayed sum of weights for an item: from -2 `linear` to 2 `linear`."""
    if weight > linear:
        return 2.0 * linear - linear * linear / weight
    if weight < -linear:
        return -2.0 * linear - linear * linear / weight
    return weight
