"""The stored events that cancellations take back."""

from collections.abc import Mapping, Sequence

from app.adapters import stored_events, user_links
from app.adapters.postgres import Database
from app.core.events import Cancellation
from app.core.messages import Message
from app.core.persons import Link


async def taken_back(database: Database, given: Sequence[object]) -> Mapping[str, Message]:
    """By id, what is stored of the events that the cancellations among these take back. Raises `DependencyDown`.

    A cancellation of an event that came with another id, which is joined into the user's, is made one of that id: the
    event counts under it.
    """
    cancellations = [event for event in given if isinstance(event, Cancellation)]
    if not cancellations:
        return {}
    async with database.connection() as connection:
        found = await stored_events.read_messages(connection, [event.cancels for event in cancellations])
        links = [_link(event, found.get(event.cancels)) for event in cancellations]
        if asked := {link for link in links if link is not None}:
            joined = await user_links.reached(connection, asked)
            for event, link in zip(cancellations, links, strict=True):
                if link is not None and link in joined:
                    event.user_id = link.anonymous_id
    return found


def _link(event: Cancellation, cancelled: Message | None) -> Link | None:
    """The link without which the event is not the user's; None where it is the user's own, or there is none."""
    if cancelled is None or cancelled.user_id == event.user_id:
        return None
    return Link(cancelled.user_id, event.user_id)
