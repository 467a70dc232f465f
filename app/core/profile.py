"""A user's profile from the history: the latest entry per item, and the seeds, whose neighbours are candidates."""

from array import array
from collections.abc import Sequence
from functools import cache
from itertools import groupby, islice
from operator import attrgetter, itemgetter
from typing import Final

from app.core.history import ENDS_OFFER, Entry, History
from app.core.model import MODEL, Model
from app.core.signals import decayed

_item_id: Final = attrgetter("item_id")
_weight: Final = attrgetter("weight")
_at_ms: Final = attrgetter("at_ms")


_PROFILE: Final = "profile"


class Profile:
    """`latest`: item → what the user did with it, most recent first. `seeds`: the first of those, whose neighbours are
    candidates, `seed_ids`, and `weights`, how much each of them counts. `times`: when the user did something with each
    item, in milliseconds, and `repeated`: the places of those that were done more than once, and what was done.
    `turns_away`: whether some weight is below 0. `ended`: items that the user is not offered again. `entries`,
    `seen_hashes` and `ended_hashes` are the history's.
    """

    __slots__ = (
        *("_counted", "ended", "ended_hashes", "entries", "latest", "model", "repeated"),
        *("seed_ids", "seeds", "seen_hashes", "times", "turns_away", "weights"),
    )

    def __init__(self, history: History, model: Model = MODEL, *, counted: Model = MODEL) -> None:
        """`model`: what makes the list. `counted`: has the parameters that the history was made with."""
        self.model = model
        self._counted = counted
        self.entries = history.entries
        self.seen_hashes = history.seen_hashes
        self.ended_hashes = history.ended_hashes
        self.latest = latest = _latest(history, counted.weekly_half_life_ms)
        self.seeds = seeds = list(islice(latest.values(), model.seeds))
        self.seed_ids = list(map(_item_id, seeds))
        weights = _weights(seeds, model)
        self.weights = array("d", weights)
        self.times = array("d", map(_at_ms, latest.values()))
        self.repeated = [(place, entry) for place, entry in enumerate(latest.values()) if entry.other_weight]
        self.turns_away = min(weights, default=0.0) < 0.0
        self.ended = [entry.item_id for entry in history.entries if entry.flags & ENDS_OFFER]

    def is_by(self, model: Model, counted: Model) -> bool:
        """Whether it was made by these very models."""
        return self.model is model and self._counted is counted


def profile_of(history: History, model: Model = MODEL, *, counted: Model = MODEL) -> Profile:
    """The history's profile, which is kept with the history, for who makes a list of the same user next: it does not
    change. It has no reference to the history, so that both go together, without the garbage collector.
    """
    kept: Profile | None = history.__dict__.get(_PROFILE)
    if kept is None or not kept.is_by(model, counted):
        kept = history.__dict__[_PROFILE] = Profile(history, model, counted=counted)
    return kept


def _latest(history: History, half_life_ms: int) -> dict[str, Entry]:
    """Item → what the user did with it, most recent first.

    Of what was done with an item the strongest counts (who bought also viewed), unless the last was to give it up.
    """
    found = dict(zip(map(_item_id, history.entries), history.entries, strict=True))
    if len(found) == len(history.entries):
        return found
    found.clear()
    for entry in history.entries:
        item_id = entry.item_id
        held = found.setdefault(item_id, entry)
        if held is not entry:
            stronger = entry.weight if 0.0 <= held.weight < entry.weight else held.weight
            others = decayed(entry.weight + entry.other_weight, held.at_ms - entry.at_ms, half_life_ms)
            found[item_id] = Entry(
                item_id,
                held.at_ms,
                entry.kind if entry.weight > held.weight else held.kind,
                stronger,
                held.other_weight + others,
            )
    return found


def _weights(chosen: Sequence[Entry], model: Model) -> list[float]:
    """The strongest signal counts 1, so that a log of views alone stands to the prior as one of purchases does.

    Items of one timestamp share the mean of their places' weights: their order, by id, means nothing.
    """
    if not chosen:
        return []
    weights = list(map(_weight, chosen))
    shares = _fading(model.recency, len(chosen))
    timestamps = list(map(_at_ms, chosen))
    if len(set(timestamps)) < len(chosen):
        shares = _shared(timestamps, shares)
    strongest = max(weights)
    unit = 1.0 / strongest if strongest > 0.0 else 1.0
    return [weight * unit * share for weight, share in zip(weights, shares, strict=True)]


@cache
def _fading(recency: float, places: int) -> Sequence[float]:
    return tuple(recency**place for place in range(places))


def _shared(timestamps: list[int], shares: Sequence[float]) -> Sequence[float]:
    """The mean of the shares of each timestamp; equal timestamps are neighbours."""
    found: list[float] = []
    for _, same in groupby(zip(timestamps, shares, strict=True), key=itemgetter(0)):
        at_once = [share for _, share in same]
        found += [sum(at_once) / len(at_once)] * len(at_once)
    return found
