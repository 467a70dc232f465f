"""Folds a batch of events into changes: users' histories, sums per item, sums per pair of items.

Pure and order-independent where it matters: histories are joins (`app.core.history`), items and pairs are sums of
forward-decayed terms (`app.core.signals`), and what one user adds to them saturates (`app.core.saturation`). Only pairs
and repeats look at the items around an event, so only they can miss what arrives late.
"""

from collections.abc import Iterable, Mapping
from math import sqrt

import msgspec

from app.core.history import NO_HISTORY, Entry, History, HistoryBuilder, decode_history, encode_history
from app.core.messages import (
    ClickMessage,
    ImpressionMessage,
    InteractionMessage,
    Message,
    PurchaseMessage,
    WatchMessage,
)
from app.core.model import MODEL, Model
from app.core.saturation import counted
from app.core.signals import Kind, forward_weight, signal

__all__ = [
    "NO_HISTORY",
    "Entry",
    "Fold",
    "History",
    "ItemDelta",
    "Kind",
    "decode_history",
    "encode_history",
    "fold",
]


class ItemDelta(msgspec.Struct, gc=False):
    """What a batch adds to an item's sums; the first three are forward-decayed (see `app.core.signals`)."""

    popularity: float = 0.0
    """Signal weights, saturating by user, with the half-life of popularity; an abandoned watch subtracts."""
    frequency: float = 0.0
    """Positive signal weights, with the half-life of co-visitation: what pair weights are normalised by."""
    repeat_weight: float = 0.0
    """That part of `frequency` which came from users who had the item already, from an earlier visit."""
    impressions: int = 0
    views: int = 0
    clicks: int = 0
    purchases: int = 0
    watches: int = 0
    watch_ms: int = 0

    def add(self, other: "ItemDelta") -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Fold(msgspec.Struct):
    """The changes of one batch."""

    histories: dict[str, History] = msgspec.field(default_factory=dict)
    """The new history of each user whose history changed."""
    items: dict[str, ItemDelta] = msgspec.field(default_factory=dict)
    pairs: dict[tuple[str, str], float] = msgspec.field(default_factory=dict)
    """What to add to each pair's weight, with the half-life of co-visitation; the lesser id stands first."""


def fold(
    messages: Iterable[Message], histories: Mapping[str, History], model: Model = MODEL, onto: Fold | None = None
) -> Fold:
    """Folds a batch of events that were never folded before, given the stored histories of its users.

    A user without an entry in `histories` is new. With `onto`, the sums are added to those of an earlier part of the
    batch; the histories of the result are those of this part.
    """
    result = Fold() if onto is None else Fold(items=onto.items, pairs=onto.pairs)
    pairing = _Pairing(model, result.pairs)
    builders: dict[str, HistoryBuilder] = {}
    for message in messages:
        if isinstance(message, ImpressionMessage):
            for shown in message.items:
                _delta(result.items, shown.item_id).impressions += 1
            continue
        kind, weight = signal(message)
        entry = Entry(message.item_id, message.ts_ms, kind, weight)
        delta = _delta(result.items, entry.item_id)
        _count(delta, message)

        builder = builders.get(message.user_id)
        if builder is None:
            builder = builders[message.user_id] = HistoryBuilder(histories.get(message.user_id, NO_HISTORY))
        held = builder.held(entry.item_id)
        counts = counted(held, entry, model)
        delta.popularity += counts.popularity
        if weight > 0.0:
            factor = counts.share * forward_weight(entry.at_ms, model.covisitation_half_life_ms)
            delta.frequency += weight * factor
            if _is_repeat(held, entry, model.repeat_gap_ms):
                delta.repeat_weight += weight * factor
            pairing.add(builder.entries, entry, counts.share)
        builder.insert(entry, held)

    for user_id, builder in builders.items():
        history = builder.finish()
        if history != histories.get(user_id, NO_HISTORY):
            result.histories[user_id] = history
    return result


class _Pairing:
    """Adds up the pairs of each event with the items around it, before the event enters the history.

    An item's place is that of its newest entry; its distance is the number of items strictly between, and items with
    the same time share it. A pair is as old as the later of its two events. It weighs the geometric mean of their
    weights, so that a log of views only and one of purchases only have the same scale.
    """

    def __init__(self, model: Model, pairs: dict[tuple[str, str], float]) -> None:
        self._pairs = pairs
        self._half_life_ms = model.covisitation_half_life_ms
        self._window = model.pair_window
        self._by_distance = [1.0 / (1.0 + items / model.pair_distance) for items in range(model.pair_window)]

    def add(self, entries: list[Entry], entry: Entry, share: float) -> None:
        """`share`: that of the event's weight which counts."""
        pairs, window, by_distance = self._pairs, self._window, self._by_distance
        item_id, at_ms, weight = entry.item_id, entry.at_ms, entry.weight
        met = {item_id}
        newer: list[Entry] = []
        older = distance = 0
        timestamp_ms = at_ms
        factor = share * forward_weight(at_ms, self._half_life_ms)
        for other in entries:
            other_id = other.item_id
            if other_id in met:
                continue
            met.add(other_id)
            if other.at_ms > at_ms:
                newer.append(other)
                continue
            if other.at_ms < timestamp_ms:
                timestamp_ms, distance = other.at_ms, older
            if other.weight > 0.0:
                key = (item_id, other_id) if item_id < other_id else (other_id, item_id)
                pairs[key] = pairs.get(key, 0.0) + factor * by_distance[distance] * sqrt(weight * other.weight)
            older += 1
            if older == window:
                break
        timestamp_ms, distance = at_ms, 0
        for places, other in enumerate(reversed(newer[-window:])):
            if other.at_ms > timestamp_ms:
                timestamp_ms, distance = other.at_ms, places
            if other.weight > 0.0:
                key = (item_id, other.item_id) if item_id < other.item_id else (other.item_id, item_id)
                later = share * forward_weight(other.at_ms, self._half_life_ms)
                pairs[key] = pairs.get(key, 0.0) + later * by_distance[distance] * sqrt(weight * other.weight)


def _is_repeat(held: list[Entry], entry: Entry, gap_ms: int) -> bool:
    """Whether the user's history holds the item, and only from other visits. `held`: the entries of the item."""
    return bool(held) and all(abs(other.at_ms - entry.at_ms) >= gap_ms for other in held)


def _delta(items: dict[str, ItemDelta], item_id: str) -> ItemDelta:
    delta = items.get(item_id)
    if delta is None:
        delta = items[item_id] = ItemDelta()
    return delta


def _count(delta: ItemDelta, message: WatchMessage | InteractionMessage) -> None:
    if isinstance(message, WatchMessage):
        delta.watches += 1
        delta.watch_ms += round(message.watch_time_sec * 1000)
    elif isinstance(message, PurchaseMessage):
        delta.purchases += 1
    elif isinstance(message, ClickMessage):
        delta.clicks += 1
    else:
        delta.views += 1
