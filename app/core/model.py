"""The constants of counting and ranking, in one place, each with its reason; docs/ranking.md has what each is worth."""

from typing import Final

from msgspec import Struct

from app.core.signals import COVISITATION_HALF_LIFE_MS, DAY_MS, HOUR_MS, POPULARITY_HALF_LIVES_MS


class Model(Struct, frozen=True, kw_only=True):
    """What may be tuned by hand. A variant is `msgspec.structs.replace(MODEL, ...)`."""

    covisitation_half_life_ms: int = COVISITATION_HALF_LIFE_MS
    popularity_half_lives_ms: tuple[int, int, int] = POPULARITY_HALF_LIVES_MS
    """Of what is popular by the hour, by the day and by the week."""

    user_linear: float = 4.0
    """What one user adds to an item's sums counts in full up to so many purchases made now, and saturates at twice
    that. An item that is bought every week stays at 2.2."""

    pair_window: int = 20
    """An event is paired with the items within so many places in the user's history, on either side. 40 gains 0.3 %
    of the hits on the dense log for 1.8 times what the consumer writes."""
    pair_distance: float = 5.0
    """A pair with so many items strictly between its two events counts half, as `1 / (1 + items / pair_distance)`.
    Events of one timestamp have one distance, whatever their ids: many logs give a basket or a page one timestamp."""
    repeat_gap_ms: int = 6 * HOUR_MS
    """After this gap the same item is a repeat of an earlier visit; within it, it belongs to the same visit."""

    seed_power: float = 0.4
    """Similarity divides by the frequency of the item in the history to this power …"""
    candidate_power: float = 0.6
    """… and by the candidate's to this one. The two sum to 1, so the scale of the event weights cancels out; the
    candidate's is the greater, for popularity has features of its own."""
    shrinkage: float = 2.0
    """A similarity is multiplied by `n / (n + shrinkage)`, `n` being the candidate's events (decayed to now): what
    hardly anybody wants is a bad neighbour, however well it fits. By the pair's weight instead, what is common but met
    the item once suffers as well. In events, so that a log of views is shrunk as one of purchases is."""
    neighbours: int = 200
    """How many neighbours of an item are kept. 100 lose 2 % of the dense log's hits, 300 gain nothing."""
    followers: int = 60
    """How many of what followed an item are kept."""

    seeds: int = 20
    """How many of the user's latest items give candidates by their neighbours …"""
    following_seeds: int = 3
    """… and by their followers. 20 gain nothing."""
    popular: int = 60
    """How many of the most popular items, by each half-life, are candidates."""
    recency: float = 0.8
    """Each older seed weighs this much of the one after it; those of one timestamp share the mean of their places'
    weights."""

    absence_fresh: float = 0.1
    """What the most popular item's popularity weighs while the user is here …"""
    absence_stale: float = 3.0
    """… and when the user has been away for long, or is unknown."""
    stale_after_ms: int = 10 * DAY_MS
    """The time constant between the two. One of hours takes yesterday's users for strangers."""

    @property
    def weekly_half_life_ms(self) -> int:
        """By which popularity by the week decays, and what one user did with an item."""
        return self.popularity_half_lives_ms[-1]


MODEL: Final = Model()
