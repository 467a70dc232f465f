"""The items and sessions that a batch of messages names."""

from collections.abc import Sequence

from app.adapters.sessions import Session
from app.core.messages import ImpressionMessage, Message


def item_ids_of(messages: Sequence[Message]) -> set[str]:
    found: set[str] = set()
    for message in messages:
        if isinstance(message, ImpressionMessage):
            found.update(item.item_id for item in message.items)
        else:
            found.add(message.item_id)
    return found


def sessions_of(messages: Sequence[Message]) -> dict[str, Session]:
    """The sessions in which something was done, each with its first event."""
    found: dict[str, Session] = {}
    for message in messages:
        if not isinstance(message, ImpressionMessage):
            held = found.get(message.session_id)
            if held is None or message.ts_ms < held.started_ms:
                found[message.session_id] = Session(message.user_id, message.ts_ms)
    return found
