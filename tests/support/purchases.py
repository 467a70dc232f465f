"""Purchases of a log that is played in memory."""

from app.core.messages import Message, PurchaseMessage
from app.core.signals import LANDMARK_MS

MINUTE_MS = 60_000


def purchase(number: int, user_id: str, item_id: str, *, apart_ms: int = MINUTE_MS) -> Message:
    """The one with this number, where one comes every `apart_ms`."""
    at_ms = LANDMARK_MS + number * apart_ms
    return PurchaseMessage(
        v=1,
        event_id=f"event-{number:04}",
        user_id=user_id,
        session_id="s",
        item_id=item_id,
        ts_ms=at_ms,
        received_ms=at_ms,
    )
