"""The history of somebody whom the service does not know, as a request gives it."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from app.core.events import Id, Millis
from app.core.history import Entry, History, HistoryBuilder
from app.core.model import Model
from app.core.signals import CLICK_WEIGHT, PURCHASE_WEIGHT, VIEW_WEIGHT, WATCH_WEIGHT, Kind

_SIGNALS: Final = {
    "view": (Kind.VIEW, VIEW_WEIGHT),
    "click": (Kind.CLICK, CLICK_WEIGHT),
    "watch": (Kind.WATCH, WATCH_WEIGHT),
    "purchase": (Kind.PURCHASE, PURCHASE_WEIGHT),
}
# Items of one time share their weight, so those without a time are a second apart.
_APART_MS: Final = 1_000


class PastEvent(Struct, forbid_unknown_fields=True):
    """What somebody did with an item. A watch counts as a whole one. Without `ts_ms`: a second before the one listed
    before it.
    """

    item_id: Id
    event_type: Literal["view", "click", "watch", "purchase"] = "view"
    ts_ms: Annotated[Millis, Meta(description="milliseconds since 1970-01-01 UTC")] | None = None


def history_of_events(events: Sequence[PastEvent], *, now_ms: int, model: Model) -> History:
    """`events`: the latest first. `model`: has the parameters that stored histories are made with."""
    builder = HistoryBuilder(History(), model)
    before_ms = now_ms
    for event in events:
        at_ms = before_ms - _APART_MS if event.ts_ms is None else min(event.ts_ms, now_ms)
        before_ms = at_ms
        kind, weight = _SIGNALS[event.event_type]
        builder.insert(Entry(event.item_id, at_ms, kind, weight), builder.held(event.item_id))
    return builder.finish()
