"""A user's profile from the history: the latest entry per item, and the seeds, whose neighbours are candidates."""

from array import array
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import groupby, islice
from operator import attrgetter, itemgetter
from typing import Final, NamedTuple

from app.core.history import ENDS_OFFER, Entry, History
from app.core.model import MODEL, Model
from app.core.signals import decayed

_item_id: Final = attrgetter("item_id")
_weight: Final = attrgetter("weight")
_at_ms: Final = attrgetter("at_ms")


_MADE: Final = "made"


class _Made(NamedTuple):
    """What a profile has of a history, by which models."""

    model: Model
    counted: Model
    latest: Mapping[str, Entry]
    seeds: Sequence[Entry]
    seed_ids: Sequence[str]
    weights: "array[float]"
    times: "array[float]"
    repeated: Sequence[tuple[int, Entry]]
    turns_away: bool
    ended: Sequence[str]


class Profile:
    """`latest`: item → what the user did with it, most recent first. `seeds`: the first of those, whose neighbours are
    candidates, `seed_ids`, and `weights`, how much each of them counts. `times`: when the user did something with each
    item, in milliseconds, and `repeated`: the places of those that were done more than once, and what was done.
    `turns_away`: whether some weight is below 0. `ended`: items that the user is not offered again.

    It is kept with the history, which does not change, for who makes a list of the same user next.
    """

    __slots__ = (
        *("ended", "history", "latest", "model", "repeated"),
        *("seed_ids", "seeds", "times", "turns_away", "weights"),
    )

    def __init__(self, history: History, model: Model = MODEL, *, counted: Model = MODEL) -> None:
        """`model`: what makes the list. `counted`: has the parameters that the history was made with."""
        made: _Made | None = history.__dict__.get(_MADE)
        if made is None or made.model is not model or made.counted is not counted:
            made = history.__dict__[_MADE] = _made(history, model, counted)
        self.history = history
        self.model = model
        self.latest = made.latest
        self.seeds = made.seeds
        self.seed_ids = made.seed_ids
        self.weights = made.weights
        self.times = made.times
        self.repeated = made.repeated
        self.turns_away = made.turns_away
        self.ended = made.ended


def _made(history: History, model: Model, counted: Model) -> _Made:
    latest = _latest(history, counted.weekly_half_life_ms)
    seeds = list(islice(latest.values(), model.seeds))
    weights = _weights(seeds, model)
    return _Made(
        model,
        counted,
        latest,
        seeds,
        list(map(_item_id, seeds)),
        array("d", weights),
        array("d", map(_at_ms, latest.values())),
        [(place, entry) for place, entry in enumerate(latest.values()) if entry.other_weight],
        min(weights, default=0.0) < 0.0,
        [entry.item_id for entry in history.entries if entry.flags & ENDS_OFFER],
    )


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
