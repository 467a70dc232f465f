"""Which messages of a batch count: those with a new event id that no erasure came after."""

from collections.abc import Mapping, Sequence

from app.core.erasure import LastErasure
from app.core.messages import Message
from app.core.persons import Link
from workers.contents import links_of


def take_fresh(
    messages: Sequence[Message],
    stamps: Sequence[int | None],
    fresh_ids: set[str],
    erased: Mapping[str, LastErasure],
) -> tuple[list[Message], set[Link]]:
    """The messages that count, whose ids are removed from `fresh_ids`, and the links that they make.

    `stamps`: the number of the last erasure when each was stored. `erased`: the last erasure of their users, and of the
    anonymous ids of links that are new. A link does not come back by an event of before the erasure of either id.
    """
    fresh: list[Message] = []
    links: set[Link] = set()
    for message, stamp in zip(messages, stamps, strict=True):
        if message.event_id in fresh_ids and not _came_after(erased.get(message.user_id), message, stamp):
            fresh_ids.remove(message.event_id)
            fresh.append(message)
            if message.anonymous_id and not _came_after(erased.get(message.anonymous_id), message, stamp):
                links |= links_of([message])
    return fresh, links


def _came_after(last: LastErasure | None, message: Message, stamp: int | None) -> bool:
    return last is not None and last.came_after(stamp, message.received_ms)
