"""A batch of events, folded into what changes: users' histories, sums per item, sums per pair of items.

Pure and order-independent where it matters: histories are joins (`app.core.history`), items and pairs are sums of
forward-decayed terms (`app.core.signals`). Only pairs look at a history, so only they can miss what arrives late.
"""

from collections.abc import Iterable, Mapping
from math import sqrt
from typing import Final

import msgspec

from app.core.history import Entry, History, decode_history, encode_history, insert, merge_history
from app.core.messages import (
    ClickMessage,
    ImpressionMessage,
    InteractionMessage,
    Message,
    PurchaseMessage,
    WatchMessage,
)
from app.core.signals import COVISITATION_HALF_LIFE_MS, POPULARITY_HALF_LIFE_MS, Kind, grow, signal

__all__ = [
    "Entry",
    "Fold",
    "History",
    "ItemDelta",
    "Kind",
    "decode_history",
    "encode_history",
    "fold",
    "merge_history",
]

# An event is paired with the items that stand within so many places of it in the user's history, on either side.
PAIR_WINDOW: Final = 20
# A pair's weight falls by this factor with each place between the two.
PAIR_DISTANCE_DECAY: Final = 0.95

_DISTANCE_WEIGHT: Final = tuple(PAIR_DISTANCE_DECAY**distance for distance in range(PAIR_WINDOW))


class ItemDelta(msgspec.Struct, gc=False):
    """What a batch adds to an item's sums. `popularity` and `frequency` are forward-decayed (see `app.core.signals`)."""

    popularity: float = 0.0
    """Signal weights, with `POPULARITY_HALF_LIFE_MS`; an abandoned watch subtracts."""
    frequency: float = 0.0
    """Positive signal weights, with `COVISITATION_HALF_LIFE_MS`: what pair weights are normalised by."""
    impressions: int = 0
    views: int = 0
    clicks: int = 0
    purchases: int = 0
    watches: int = 0
    watch_ms: int = 0


class Fold(msgspec.Struct):
    """The changes of one batch."""

    histories: dict[str, History] = msgspec.field(default_factory=dict)
    """The new history of each user whose history changed."""
    items: dict[str, ItemDelta] = msgspec.field(default_factory=dict)
    pairs: dict[tuple[str, str], float] = msgspec.field(default_factory=dict)
    """What to add to each pair's weight (forward-decayed, `COVISITATION_HALF_LIFE_MS`); the lesser id stands first."""


def fold(messages: Iterable[Message], histories: Mapping[str, History]) -> Fold:
    """Folds a batch of events that were never folded before, given the stored histories of its users.

    A user who has no entry in `histories` is new.
    """
    result = Fold()
    items, pairs = result.items, result.pairs
    changing: dict[str, list[Entry]] = {}
    for message in messages:
        if isinstance(message, ImpressionMessage):
            for shown in message.items:
                _delta(items, shown.item_id).impressions += 1
            continue
        kind, weight = signal(message)
        at_ms = message.ts_ms
        entry = Entry(message.item_id, at_ms, kind, weight)
        delta = _delta(items, entry.item_id)
        delta.popularity += weight * grow(at_ms, POPULARITY_HALF_LIFE_MS)
        _count(delta, message)

        entries = changing.get(message.user_id)
        if entries is None:
            entries = changing[message.user_id] = list(histories.get(message.user_id, ()))
        if weight > 0.0:
            delta.frequency += weight * grow(at_ms, COVISITATION_HALF_LIFE_MS)
            _pair(pairs, entries, entry)
        insert(entries, entry)

    for user_id, entries in changing.items():
        history = tuple(entries)
        if history != histories.get(user_id, ()):
            result.histories[user_id] = history
    return result


def _pair(pairs: dict[tuple[str, str], float], entries: list[Entry], entry: Entry) -> None:
    """Adds the pairs of one event with the items around it, before it enters the history.

    An item's place is that of its newest entry. A pair is as old as the later of its two events, and weighs the
    geometric mean of their weights, so that a log of views alone and one of purchases alone are on one scale.
    """
    item_id, at_ms, weight = entry.item_id, entry.at_ms, entry.weight
    seen = {item_id}
    newer: list[Entry] = []
    older = 0
    factor = grow(at_ms, COVISITATION_HALF_LIFE_MS)
    for other in entries:
        other_id = other.item_id
        if other_id in seen:
            continue
        seen.add(other_id)
        if other.at_ms > at_ms:
            newer.append(other)
            continue
        if other.weight > 0.0:
            key = (item_id, other_id) if item_id < other_id else (other_id, item_id)
            term = factor * _DISTANCE_WEIGHT[older] * sqrt(weight * other.weight)
            pairs[key] = pairs.get(key, 0.0) + term
        older += 1
        if older == PAIR_WINDOW:
            break
    for distance, other in enumerate(reversed(newer[-PAIR_WINDOW:])):
        if other.weight > 0.0:
            other_id = other.item_id
            key = (item_id, other_id) if item_id < other_id else (other_id, item_id)
            factor = grow(other.at_ms, COVISITATION_HALF_LIFE_MS)
            term = factor * _DISTANCE_WEIGHT[distance] * sqrt(weight * other.weight)
            pairs[key] = pairs.get(key, 0.0) + term


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
