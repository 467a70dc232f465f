"""Folds a batch of events into changes: users' histories, sums per item, sums per pair of items.

Pure and order-independent where it matters: histories are joins (`app.core.history`), items and pairs are sums of
forward-decayed terms (`app.core.signals`), and what one user adds to them saturates (`app.core.saturation`). Only pairs
and repeats look at the items around an event, so only they can miss what arrives late.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from app.core.entries import entry_of
from app.core.history import (
    CANCELS,
    NO_HISTORY,
    NO_PAIRS,
    Entry,
    History,
    HistoryBuilder,
    cancellation_number,
    decode_history,
    encode_history,
)
from app.core.messages import (
    CancelMessage,
    ClickMessage,
    ImpressionMessage,
    InteractionMessage,
    Message,
    PurchaseMessage,
    ViewMessage,
    WatchMessage,
)
from app.core.model import MODEL, Model
from app.core.own_writes import key_of
from app.core.pairing import PairTerms
from app.core.saturation import counted
from app.core.signals import Kind, decayed, forward_weight

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


NEVER_MS: Final = 2**62
"""Later than any event."""


class ItemDelta(msgspec.Struct, gc=False):
    """What a batch adds to an item's sums.

    `frequency`, `repeat_weight` and `events` are forward-decayed (see `app.core.signals`), with the half-life of
    co-visitation. The popularities are values at `popular_ms`, one for each of `Model.popularity_half_lives_ms`.
    """

    popular_ms: int = 0
    popular_hours: float = 0.0
    """Signal weights; an abandoned watch subtracts."""
    popular_day: float = 0.0
    popular_week: float = 0.0
    frequency: float = 0.0
    """Positive signal weights: what pair weights are normalised by."""
    repeat_weight: float = 0.0
    """That part of `frequency` which came from users who had the item already, from an earlier visit."""
    events: float = 0.0
    """The number of positive signals: how much evidence there is, whatever the signals weigh."""
    users: int = 0
    """Users who had the item for the first time."""
    first_ms: int = NEVER_MS
    """The earliest event."""
    impressions: int = 0
    views: int = 0
    clicks: int = 0
    purchases: int = 0
    watches: int = 0
    watch_ms: int = 0
    other_events: int = 0
    """Events of other types than these, such as likes."""

    @property
    def taken(self) -> int:
        """How often users did anything with the item; impressions are left out."""
        return self.views + self.clicks + self.purchases + self.watches + self.other_events

    def add_popularity(self, model: Model, at_ms: int, hours: float, day: float, week: float) -> None:
        """Adds popularities that are values at `at_ms`. The later time is kept, so the order does not matter."""
        by_ms = at_ms - self.popular_ms
        half_hours, half_day, half_week = model.popularity_half_lives_ms
        if by_ms >= 0:
            self.popular_hours = decayed(self.popular_hours, by_ms, half_hours) + hours
            self.popular_day = decayed(self.popular_day, by_ms, half_day) + day
            self.popular_week = decayed(self.popular_week, by_ms, half_week) + week
            self.popular_ms = at_ms
        else:
            self.popular_hours += decayed(hours, -by_ms, half_hours)
            self.popular_day += decayed(day, -by_ms, half_day)
            self.popular_week += decayed(week, -by_ms, half_week)

    def add(self, other: "ItemDelta", model: Model) -> None:
        self.add_popularity(model, other.popular_ms, other.popular_hours, other.popular_day, other.popular_week)
        self.first_ms = min(self.first_ms, other.first_ms)
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_SUMS: Final = tuple(name for name in ItemDelta.__struct_fields__ if not name.startswith(("popular_", "first_")))


class Fold(msgspec.Struct):
    """The changes of one batch."""

    histories: dict[str, History] = msgspec.field(default_factory=dict)
    """The new history of each user whose history changed."""
    items: dict[str, ItemDelta] = msgspec.field(default_factory=dict)
    pairs: PairTerms = msgspec.field(default_factory=PairTerms)


def fold(
    messages: Iterable[Message], histories: Mapping[str, History], model: Model = MODEL, onto: Fold | None = None
) -> Fold:
    """Folds a batch of events that were never folded before, given the stored histories of its users.

    A user without an entry in `histories` is new. With `onto`, the sums are added to those of an earlier part of the
    batch, which had the same model; the histories of the result are those of this part.
    """
    result = Fold(pairs=PairTerms(model)) if onto is None else Fold(items=onto.items, pairs=onto.pairs)
    builders: dict[str, HistoryBuilder] = {}
    for message in messages:
        if isinstance(message, ImpressionMessage):
            for shown in message.items:
                _delta(result.items, shown.item_id).impressions += 1
            continue
        entry = entry_of(message)
        weight = entry.weight
        delta = _delta(result.items, entry.item_id)
        _count(delta, message)

        builder = builders.get(message.user_id)
        if builder is None:
            builder = builders[message.user_id] = HistoryBuilder(histories.get(message.user_id, NO_HISTORY), model)
        held = builder.held(entry.item_id)
        counts = counted(held, entry, model, forgotten=not held and builder.has_forgotten(entry))
        if counts.popularity == weight:
            delta.add_popularity(model, entry.at_ms, weight, weight, weight)
        else:  # saturation is reckoned by the week; a weight that it cuts is cut by the hour and by the day as well
            cut = counts.share * weight
            delta.add_popularity(model, entry.at_ms, cut, cut, 0.0)
            delta.add_popularity(model, counts.popular_ms, 0.0, 0.0, counts.popularity)
        delta.first_ms = min(delta.first_ms, entry.at_ms)
        if isinstance(message, CancelMessage):
            _take_back(result, delta, entry, message.cancels, builder, counts.share, model)
            builder.note_cancellations((cancellation_number(entry.at_ms, key_of(message.event_id)),))
        elif weight > 0.0:
            factor = counts.share * forward_weight(entry.at_ms, model.covisitation_half_life_ms)
            delta.frequency += weight * factor
            delta.events += factor
            standing = [other for other in held if other.stands]
            if _is_repeat(standing, entry, model.repeat_gap_ms):
                delta.repeat_weight += weight * factor
            is_new = not standing and not _is_cancelled(held, entry) and not builder.had(entry.item_id)
            delta.users += is_new
            if counts.share and not entry.flags & NO_PAIRS:
                result.pairs.add(builder.pairing(), entry, message.event_id, counts.share, met=is_new)
        builder.insert(entry, held)

    for user_id, builder in builders.items():
        history = builder.finish()
        if history != histories.get(user_id, NO_HISTORY):
            result.histories[user_id] = history
    return result


def _take_back(
    result: Fold, delta: ItemDelta, entry: Entry, event_id: str, builder: HistoryBuilder, share: float, model: Model
) -> None:
    """Subtracts what an event counted beside its popularity. `entry`: of its cancellation; `event_id`: its own."""
    weight = -entry.weight
    if weight <= 0.0 or not share:
        return
    factor = share * forward_weight(entry.at_ms, model.covisitation_half_life_ms)
    delta.frequency -= weight * factor
    delta.events -= factor
    held = builder.held(entry.item_id)
    others = [other for other in held if other.stands and (other.kind, other.at_ms) != (entry.kind, entry.at_ms)]
    if _is_repeat(others, entry, model.repeat_gap_ms):
        delta.repeat_weight -= weight * factor
    was_only = bool(held) and not others and not _has_more(held, entry) and not builder.had(entry.item_id)
    delta.users -= was_only
    if not entry.flags & NO_PAIRS:
        cancelled = Entry(entry.item_id, entry.at_ms, entry.kind, weight)
        result.pairs.add(builder.pairing(), cancelled, event_id, -share, met=-was_only)


def _has_more(held: list[Entry], entry: Entry) -> bool:
    """Whether the user had more of what this cancellation takes back one of."""
    return any(other.other_weight for other in held if other.stands and other.kind == entry.kind)


def _is_cancelled(held: list[Entry], entry: Entry) -> bool:
    """Whether the event's cancellation came before it."""
    return any(other.flags & CANCELS and (other.kind, other.at_ms) == (entry.kind, entry.at_ms) for other in held)


def _is_repeat(held: list[Entry], entry: Entry, gap_ms: int) -> bool:
    """Whether the user's history holds the item, and only from other visits. `held`: the entries of the item."""
    return bool(held) and all(abs(other.at_ms - entry.at_ms) >= gap_ms for other in held)


def _delta(items: dict[str, ItemDelta], item_id: str) -> ItemDelta:
    delta = items.get(item_id)
    if delta is None:
        delta = items[item_id] = ItemDelta()
    return delta


def _count(delta: ItemDelta, message: WatchMessage | InteractionMessage | CancelMessage) -> None:
    if isinstance(message, WatchMessage):
        delta.watches += 1
        delta.watch_ms += round(message.watch_time_sec * 1000)
    elif isinstance(message, PurchaseMessage):
        delta.purchases += 1
    elif isinstance(message, ClickMessage):
        delta.clicks += 1
    elif isinstance(message, ViewMessage):
        delta.views += 1
    elif isinstance(message, CancelMessage):
        delta.watch_ms -= round(message.watch_time_sec * 1000)
        column = _COLUMNS.get(message.cancelled_type, "other_events")
        setattr(delta, column, getattr(delta, column) - 1)
    else:
        delta.other_events += 1


_COLUMNS: Final = {"watch": "watches", "purchase": "purchases", "click": "clicks", "view": "views"}
