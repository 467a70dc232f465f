"""The bodies and parameters of the calls that take events, as the document describes them."""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from app.core import events
from app.http import schema

INTERACTIONS: Final = (events.View, events.Click, events.Purchase, events.Cancellation, events.Action)
EVENTS: Final = (events.Watch, events.Impression, *INTERACTIONS)
Interaction = Annotated[Any, schema.one_of(INTERACTIONS, needs="event_type")]
_AnyEvent = Annotated[Any, schema.one_of(EVENTS, needs="event_type")]
Events = Annotated[list[_AnyEvent], Meta(min_length=1, max_length=events.MAX_BATCH_EVENTS)]


class EventBatch(Struct, forbid_unknown_fields=True):
    """The body of `/log/batch`."""

    events: Events


_IN_QUERY: Final = "As the header `{}`, where the service takes the key in the query."


class BatchQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`key` is the API key, which `app.http.access` reads; `visitor_id` and `user_token` go with one for browsers."""

    atomic: Annotated[bool, Meta(description="Store all events of the batch or none.")] = False
    key: str | None = None
    visitor_id: Annotated[str, Meta(description=_IN_QUERY.format("X-Visitor-ID"))] | None = None
    user_token: Annotated[str, Meta(description=_IN_QUERY.format("X-User-Token"))] | None = None
