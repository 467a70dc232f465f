"""What an event may say that came with a key for browsers, which anybody can see."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from app.core.decoding import InvalidInput
from app.core.events import AnyEvent, Cancellation, Impression
from app.core.field_errors import FieldError
from app.core.visitors import OtherUser
from app.http.context import RequestContext


class BrowserEvents:
    """Events of other keys pass. `known`: those of some items that the catalogue has; None: any item may be named.
    `charge` counts the events of a batch.
    """

    def __init__(
        self,
        known: Callable[[Collection[str]], Awaitable[Collection[str]]] | None,
        charge: Callable[[RequestContext, int], None],
    ) -> None:
        self._known = known
        self.charge = charge

    def fill_in(self, raw: bytes | msgspec.Raw, context: RequestContext) -> bytes | msgspec.Raw:
        """The event with the visitor's id, where it names no user."""
        return raw if context.visitor is None else context.visitor.fill_in(raw)

    async def faults(self, events: Sequence[AnyEvent | Any], context: RequestContext) -> Mapping[int, InvalidInput]:
        """What is wrong with some of them, by their place; all that is wrong with each. What is no event passes."""
        visitor = context.visitor
        if visitor is None:
            return {}
        found: dict[int, InvalidInput] = {}
        named: dict[int, list[tuple[str, str]]] = {}
        for place, event in enumerate(events):
            if not isinstance(event, AnyEvent):
                continue
            named[place] = _items(event)
            try:
                visitor.check_event(event)
            except OtherUser as error:
                found[place] = error
        if self._known is None:
            return found
        known = await self._known({item_id for items in named.values() for _, item_id in items})
        for place, items in named.items():
            unknown = [FieldError(path, _UNKNOWN) for path, item_id in items if item_id not in known]
            if unknown:
                earlier = found.get(place)
                kind = InvalidInput if earlier is None else type(earlier)
                found[place] = kind(*(() if earlier is None else earlier.field_errors), *unknown)
        return found


_UNKNOWN: Final = (
    "the catalogue does not have this item, and a key for browsers names no others; put it there, or set"
    " BROWSER_CATALOGUE_ONLY=false"
)


def _items(event: AnyEvent) -> list[tuple[str, str]]:
    """The items that an event names, with their paths."""
    if isinstance(event, Impression):
        return [(f"$.items[{place}].item_id", item.item_id) for place, item in enumerate(event.items)]
    return [] if isinstance(event, Cancellation) else [("$.item_id", event.item_id)]
