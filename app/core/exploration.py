"""New items get a share of the places, so that the service learns how users like them.

The click rate of a new item is uncertain: a Beta distribution that starts from the rate expected of any item, narrows
with every impression, and faster with every response. An item is chosen in proportion to the width of its
distribution, so unknown items are shown most, and less with every impression. After O. Chapelle, L. Li, "An Empirical
Evaluation of Thompson Sampling", NIPS 2011; drawing by the width alone, not by the rate, keeps an answer cheap: one
draw a place.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from itertools import accumulate
from math import floor, sqrt
from typing import Final

from msgspec import Struct

from app.core.signals import DAY_MS

EXPLORE: Final = "explore"

NEW_FOR_MS: Final = 14 * DAY_MS
"""An item is new for so long after it was published. What does not show by then is left to the ranking."""
POOL_SIZE: Final = 500
"""Among how many new items an answer chooses, those shown least."""
NEWEST: Final = 5_000
"""Of so many new items, the newest: after an import, all of a large catalogue is new."""

# Before the first impression: one click in ten impressions, known as well as ten impressions would tell. So a click, a
# watch or a purchase tells as much as ten impressions; there may be some without any, of an import.
_RATE: Final = 0.1
_BEFORE: Final = 10.0
_RESPONSE: Final = 10.0
# What was taken so often the ranking knows by its own means.
_KNOWN: Final = 5
# The first places are the most valuable, and what belongs there is known: new items start behind this share of them.
_KEPT_SHARE: Final = 0.25
_DRAWS_A_PLACE: Final = 3

Chance = Callable[[], float]
"""Gives numbers in [0, 1), such as `random.Random(seed).random`."""


class ExplorationPool(Struct, frozen=True):
    """New items, and the running sum of their uncertainty."""

    ids: tuple[str, ...] = ()
    sums: tuple[float, ...] = ()


EMPTY_POOL: Final = ExplorationPool()


def uncertainty(shown: int, taken: int) -> float:
    """The standard deviation of an item's click rate, given impressions and how often it was taken."""
    return sqrt(_RATE * (1.0 - _RATE) / (_BEFORE + shown + _RESPONSE * taken + 1.0))


def exploration_pool_of(rows: Sequence[tuple[str, int, int]]) -> ExplorationPool:
    """From the new items: id, impressions, and responses: clicks, watches, purchases and events of other types."""
    unknown = [row for row in rows if row[2] < _KNOWN]
    return ExplorationPool(
        tuple(item_id for item_id, _, _ in unknown),
        tuple(accumulate(uncertainty(shown, taken) for _, shown, taken in unknown)),
    )


def choose(pool: ExplorationPool, *, share: float, k: int, without: Collection[str], chance: Chance) -> dict[int, str]:
    """Places (from 0) and the new items for them: of many answers' places, `share` on average."""
    if not pool.ids or share <= 0.0:
        return {}
    first = max(1, floor(k * _KEPT_SHARE))
    wanted = min(floor(share * k + chance()), k - first)
    chosen: dict[int, str] = {}
    for _ in range(wanted * _DRAWS_A_PLACE):
        if len(chosen) == wanted:
            break
        place = first + floor(chance() * (k - first))
        index = bisect_right(pool.sums, chance() * pool.sums[-1])
        item_id = pool.ids[min(index, len(pool.ids) - 1)]
        if place not in chosen and item_id not in without and item_id not in chosen.values():
            chosen[place] = item_id
    return chosen
