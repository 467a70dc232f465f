"""The constants of learning and ranking, in one place, each with its reason; docs/ranking.md has what each is worth.

Measured event by event (predict, then learn) on four public logs that have little in common: a sparse shop's
purchases, a dense movie log, and the click sessions of two shops. The values lie on a plateau: most of them may be
halved or doubled for a few percent of the hit rate.
"""

from typing import Final

from msgspec import Struct

from app.core.signals import COVISITATION_HALF_LIFE_MS, DAY_MS, HOUR_MS, POPULARITY_HALF_LIFE_MS


class Model(Struct, frozen=True, kw_only=True):
    """What may be tuned. A variant is `msgspec.structs.replace(MODEL, ...)`."""

    popularity_half_life_ms: int = POPULARITY_HALF_LIFE_MS
    covisitation_half_life_ms: int = COVISITATION_HALF_LIFE_MS

    user_linear: float = 4.0
    """What one user adds to an item's sums counts in full up to so many purchases made now, and saturates at twice
    that. An item that is bought every week stays at 2.2."""

    pair_window: int = 20
    """An event is paired with the items within so many places in the user's history, on either side. 40 gains 0.3 %
    of the hits on the dense log for 1.8 times what the consumer writes."""
    pair_distance: float = 5.0
    """A pair with so many items strictly between its two events counts half, as `1 / (1 + items / pair_distance)`.
    Events of one timestamp have one distance, whatever their ids: many logs give a basket or a page one timestamp."""

    seed_power: float = 0.4
    """Similarity divides by the frequency of the item in the history to this power …"""
    candidate_power: float = 0.6
    """… and by the candidate's to this one. The two sum to 1, so the scale of the event weights cancels out; the
    candidate's is the greater, for popularity has its own part of the score."""
    shrinkage: float = 2.0
    """A similarity is multiplied by `f / (f + shrinkage)`, `f` being the candidate's frequency (decayed to now): what
    hardly anybody wants is a bad neighbour, however well it fits. By the pair's weight instead, what is common
    but met the item once suffers as well. A sparse shop wants 4, short sessions 1."""
    neighbours: int = 200
    """How many neighbours of an item are kept. 100 lose 2 % of the dense log's hits, 300 gain nothing."""

    seeds: int = 20
    """How many of the user's latest items give candidates."""
    recency: float = 0.8
    """Each older one weighs this much of the one after it; those of one timestamp share the mean of their places'
    weights."""

    prior_fresh: float = 0.1
    """What the most popular item scores while the user is here, where a neighbour scores its similarity, summed over
    the history. The sum is not normalised: where evidence is thin it is small, and popularity takes over by itself."""
    prior_stale: float = 3.0
    """What it scores when the user has been away for long: a fresh history tells intent, a stale one taste at best.
    With 1, a dense log's lists for users who were away for weeks lose 8 % of their NDCG."""
    stale_after_ms: int = 10 * DAY_MS
    """The time constant between the two. One of hours takes yesterday's users for strangers; the higher `prior_stale`,
    the longer it has to be."""
    prior_power: float = 0.5
    """The prior of an item is its popularity, as a share of the highest, to this power."""

    repeat_gap_ms: int = 6 * HOUR_MS
    """After this gap the same item is a repeat of an earlier visit; within it, it belongs to the same visit."""
    repeat_evidence: float = 5.0
    """Pseudo-events without a repeat: an item is offered again only if users were seen to come back to it."""
    repeat_gain: float = 50.0
    """The score of an item that the user has is multiplied by this many times its repeat rate …"""
    repeat_limit: float = 2.0
    """… and the factor is at most this."""


MODEL: Final = Model()
