"""What an event becomes in its user's history."""

from app.core.event_types import EventCounts
from app.core.history import CANCELS, ENDS_OFFER, NO_PAIRS, Entry
from app.core.messages import ActionMessage, CancelMessage, InteractionMessage, WatchMessage
from app.core.signals import signal


def entry_of(message: WatchMessage | InteractionMessage | CancelMessage) -> Entry:
    if isinstance(message, CancelMessage):
        counts = message.counts
        flags = flags_of(counts) | CANCELS
        return Entry(message.item_id, message.cancelled_ms, counts.kind, -counts.weight, 0, flags)
    kind, weight = signal(message)
    if isinstance(message, ActionMessage):
        return Entry(message.item_id, message.ts_ms, kind, weight, 0, flags_of(message.counts))
    return Entry(message.item_id, message.ts_ms, kind, weight)


def flags_of(counts: EventCounts) -> int:
    return (0 if counts.pairs else NO_PAIRS) | (ENDS_OFFER if counts.ends_offer else 0)
