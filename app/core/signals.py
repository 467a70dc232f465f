"""The weight of one event for an item, and how it decays.

Every number stored per item or pair is a *sum* of such terms, so that it can be added up in any order, in any batch and
by any number of consumers. Decay has to be a sum too: forward decay (G. Cormode, V. Shkapenyuk, D. Srivastava,
B. Xu, "Forward Decay: A Practical Time Decay Model for Streaming Systems", ICDE 2009) weighs an event by
`2 ** ((event time - LANDMARK) / half-life)` once; the value at any later time is the sum divided by
`2 ** ((now - LANDMARK) / half-life)`. Stored sums need no update as time passes.
"""

from enum import IntEnum
from math import exp2
from typing import Final

from app.core.messages import ActionMessage, ClickMessage, InteractionMessage, PurchaseMessage, WatchMessage

HOUR_MS: Final = 3600 * 1000
DAY_MS: Final = 24 * HOUR_MS

# 2026-01-01, in the middle of the years that the service may see. A float8 reaches from 2^-1022 to 2^1023: with the
# half-life of co-visitation a term of 1950 is 2^-231 and one of 2100 is 2^225, so neither a term nor a sum of 2^100 of
# them leaves the range, and the product of two sums is never taken before both are decayed. Popularities have shorter
# half-lives and are kept as a value and its time instead (`ItemDelta.add_popularity`).
LANDMARK_MS: Final = 1_767_225_600_000
# Times further than this many half-lives from the landmark are clamped (an import may hold any time).
MAX_HALVINGS: Final = 900.0

# What is popular by the hour, by the day and by the week: news want the first, a shop with a sale a day the last.
POPULARITY_HALF_LIVES_MS: Final = (2 * HOUR_MS, DAY_MS, 8 * DAY_MS)
# Co-visitation changes slowly and evidence is scarce: two months cost a sparse shop a tenth of its hits.
COVISITATION_HALF_LIFE_MS: Final = 120 * DAY_MS

PURCHASE_WEIGHT: Final = 1.0
CLICK_WEIGHT: Final = 0.5
VIEW_WEIGHT: Final = 0.3
# A watch counts by the share that was watched. Without a share, seconds replace it: half of the weight at two minutes,
# which separates a glance from a full watch without knowing the item's length.
WATCH_WEIGHT: Final = 1.0
WATCH_HALF_SEC: Final = 120.0
# Abandoned within seconds and before a tenth: counts a little against the item.
ABANDONED_WEIGHT: Final = -0.2
ABANDONED_SEC: Final = 10.0
ABANDONED_PERCENT: Final = 10.0


class Kind(IntEnum):
    """What a user did with an item, from the weakest sign of interest to the strongest. Other types of events have the
    numbers above these.
    """

    VIEW = 0
    CLICK = 1
    WATCH = 2
    PURCHASE = 3


def decayed(value: float, by_ms: int, half_life_ms: int) -> float:
    """`value` after `by_ms` (at least 0)."""
    return value * exp2(-by_ms / half_life_ms)


def forward_weight(at_ms: int, half_life_ms: int) -> float:
    """The forward-decay factor of an event at `at_ms`: 1 at the landmark, doubling every half-life."""
    return exp2(_halvings(at_ms, half_life_ms))


def decay_factor(now_ms: int, half_life_ms: int) -> float:
    """Turns a forward-decayed sum into its value at `now_ms`: `sum * decay_factor(now_ms, half_life_ms)`."""
    return exp2(-_halvings(now_ms, half_life_ms))


def watch_weight(seconds: float, percent: float | None, ended: bool | None) -> float:
    """The weight of a watch, from `ABANDONED_WEIGHT` to `WATCH_WEIGHT`. `percent` is 0 to 100, or None if not known."""
    if ended and percent is None:
        return WATCH_WEIGHT
    if not ended and seconds < ABANDONED_SEC and (percent is None or percent < ABANDONED_PERCENT):
        return ABANDONED_WEIGHT
    if percent is not None:
        return WATCH_WEIGHT * percent / 100.0
    return WATCH_WEIGHT * seconds / (seconds + WATCH_HALF_SEC)


def signal(message: WatchMessage | InteractionMessage) -> tuple[int, float]:
    """The kind of an event and its weight for the item; a purchase weighs 1."""
    if isinstance(message, ActionMessage):
        return message.counts.kind, message.counts.weight
    if isinstance(message, WatchMessage):
        return Kind.WATCH, watch_weight(message.watch_time_sec, message.percent_watched, message.ended)
    if isinstance(message, PurchaseMessage):
        return Kind.PURCHASE, PURCHASE_WEIGHT
    if isinstance(message, ClickMessage):
        return Kind.CLICK, CLICK_WEIGHT
    return Kind.VIEW, VIEW_WEIGHT


def _halvings(at_ms: int, half_life_ms: int) -> float:
    return max(-MAX_HALVINGS, min(MAX_HALVINGS, (at_ms - LANDMARK_MS) / half_life_ms))
