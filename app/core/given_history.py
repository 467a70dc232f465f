"""The history of somebody whom the service does not know, as a request gives it."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from app.core.decoding import InvalidInput
from app.core.entries import flags_of
from app.core.event_times import SentTime
from app.core.event_types import EventCounts, EventTypes
from app.core.events import Id, Rated
from app.core.field_errors import FieldError
from app.core.history import Entry, History, HistoryBuilder
from app.core.model import Model
from app.core.signals import CLICK_WEIGHT, PURCHASE_WEIGHT, VIEW_WEIGHT, WATCH_WEIGHT, Kind
from app.core.spellings import millis_of

_VIEW: Final = "view"
_SIGNALS: Final = {
    _VIEW: EventCounts(Kind.VIEW, VIEW_WEIGHT),
    "click": EventCounts(Kind.CLICK, CLICK_WEIGHT),
    "watch": EventCounts(Kind.WATCH, WATCH_WEIGHT),
    "purchase": EventCounts(Kind.PURCHASE, PURCHASE_WEIGHT),
}
# Items of one time share their weight, so those without a time are a second apart.
_APART_MS: Final = 1_000

PastType = Annotated[
    str, Meta(description="`view`, `click`, `watch`, `purchase`, or another event type (`GET /event-types`).")
]


class PastEvent(Struct, forbid_unknown_fields=True):
    """What somebody did with an item. A watch counts as a whole one. Without `ts_ms`: a second before the one listed
    before it.
    """

    item_id: Id
    event_type: PastType = _VIEW
    ts_ms: SentTime | None = None
    rating: Rated | None = None


def past_entries(events: Sequence[PastEvent], types: EventTypes, *, now_ms: int) -> list[Entry]:
    """`events`: the latest first. Raises `InvalidInput` for types that are not there, and ratings that they lack."""
    found, errors = [], []
    before_ms = now_ms
    for place, event in enumerate(events):
        at_ms = before_ms - _APART_MS if event.ts_ms is None else min(millis_of(event.ts_ms), now_ms)
        before_ms = at_ms
        counts = _counts(place, event.event_type, event.rating, types)
        if isinstance(counts, FieldError):
            errors.append(counts)
        else:
            found.append(Entry(event.item_id, at_ms, counts.kind, counts.weight, 0, flags_of(counts)))
    if errors:
        raise InvalidInput(*errors)
    return found


def history_faults(history: Sequence[Any], types: EventTypes) -> list[FieldError]:
    """As `past_entries`, of a history as JSON, whose other fields may be anything."""
    found = []
    for place, event in enumerate(history):
        name = event.get("event_type", _VIEW) if isinstance(event, dict) else None
        if isinstance(name, str):
            rating = event.get("rating")
            counts = _counts(place, name, rating if isinstance(rating, int | float) else None, types)
            if isinstance(counts, FieldError):
                found.append(counts)
    return found


def _unknown(place: int, name: str, types: EventTypes) -> FieldError:
    known = ", ".join(map(repr, (*_SIGNALS, *types.names())))
    return FieldError(f"$.history[{place}].event_type", f"Invalid value {name[:64]!r}; expected one of {known}")


def history_of_entries(entries: Sequence[Entry], *, model: Model) -> History:
    """`model`: has the parameters that stored histories are made with."""
    builder = HistoryBuilder(History(), model)
    for entry in entries:
        builder.insert(entry, builder.held(entry.item_id))
    return builder.finish()


def _counts(place: int, event_type: str, rating: float | None, types: EventTypes) -> EventCounts | FieldError:
    if event_type in _SIGNALS:
        return _SIGNALS[event_type]
    own = types.get(event_type)
    if own is None:
        return _unknown(place, event_type, types)
    try:
        return own.counts(rating)
    except ValueError as error:
        return FieldError(f"$.history[{place}].rating", str(error))
