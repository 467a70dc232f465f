"""The items, sessions, links and events that a batch of messages names."""

from collections.abc import Sequence

from app.adapters.sessions import Session
from app.core.messages import ImpressionMessage, Message
from app.core.own_writes import keys_of
from app.core.persons import Link


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


def links_of(messages: Sequence[Message]) -> set[Link]:
    """The anonymous ids that events name beside their users. Impressions, which no history holds, link nothing."""
    return {
        Link(message.anonymous_id, message.user_id)
        for message in messages
        if message.anonymous_id and message.anonymous_id != message.user_id
        if not isinstance(message, ImpressionMessage)
    }


def event_keys_of(messages: Sequence[Message]) -> dict[str, bytes]:
    """By user, the keys of the events that a history holds, duplicates included: they are counted by now."""
    found: dict[str, list[str]] = {}
    for message in messages:
        if not isinstance(message, ImpressionMessage):
            found.setdefault(message.user_id, []).append(message.event_id)
    return {user_id: keys_of(event_ids) for user_id, event_ids in found.items()}
