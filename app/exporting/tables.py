"""The tables of an export: their columns, and the rows that an event becomes."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

ColumnType = Literal["text", "integer", "number", "flag", "time", "json"]
FileFormat = Literal["parquet", "jsonl"]


class ExportTable(Struct, frozen=True):
    """`columns`: names with their types, in the order of the values of a row."""

    name: str
    columns: dict[str, ColumnType]


_ENVELOPE: Final[dict[str, ColumnType]] = {
    "event_id": "text",
    "event_type": "text",
    "user_id": "text",
    "session_id": "text",
    "request_id": "text",
    "ts_ms": "integer",
    "anonymous_id": "text",
}
_OF_ITEM: Final[dict[str, ColumnType]] = {
    "item_id": "text",
    "watch_time_sec": "number",
    "percent_watched": "number",
    "ended": "flag",
    "playback_speed": "number",
    "rebuffer_count": "integer",
    "value": "number",
    "currency": "text",
    "quantity": "integer",
    "rating": "number",
    "cancels": "text",
}
_OF_PLACE: Final[dict[str, ColumnType]] = {"item_id": "text", "position": "integer", "feed_id": "text", "slot": "text"}

EVENTS: Final = ExportTable("events", {**_ENVELOPE, **_OF_ITEM, "context": "json", "received_at": "time"})
IMPRESSIONS: Final = ExportTable("impressions", {**_ENVELOPE, **_OF_PLACE, "context": "json", "received_at": "time"})
ITEMS: Final = ExportTable(
    "items",
    {
        "item_id": "text",
        "popularity_hours": "number",
        "popularity_day": "number",
        "popularity_week": "number",
        "frequency": "number",
        "repeat_weight": "number",
        "events": "number",
        "users": "integer",
        "first_ms": "integer",
        "last_ms": "integer",
        "impressions": "integer",
        "views": "integer",
        "clicks": "integer",
        "purchases": "integer",
        "watches": "integer",
        "watch_time_sec": "number",
    },
)
PAIRS: Final = ExportTable(
    "pairs",
    {
        "item_a": "text",
        "item_b": "text",
        "weight": "number",
        "users": "number",
        "a_to_b": "number",
        "b_to_a": "number",
    },
)
HISTORIES: Final = ExportTable(
    "histories",
    {
        "user_id": "text",
        "item_id": "text",
        "ts_ms": "integer",
        "kind": "text",
        "weight": "number",
        "other_weight": "number",
    },
)


def event_rows(found: Iterable[tuple[datetime, str]]) -> list[tuple[Any, ...]]:
    """A row an event, from when it was received and its JSON."""
    return [(*_envelope(event), *map(event.get, _OF_ITEM), *_ending(event, at)) for at, event in _decoded(found)]


def impression_rows(found: Iterable[tuple[datetime, str]]) -> list[tuple[Any, ...]]:
    """A row a shown item; as `event_rows` otherwise."""
    return [
        (*_envelope(event), *map(shown.get, _OF_PLACE), *_ending(event, at))
        for at, event in _decoded(found)
        for shown in event["items"]
    ]


def _decoded(found: Iterable[tuple[datetime, str]]) -> Iterable[tuple[datetime, dict[str, Any]]]:
    return ((at, msgspec.json.decode(payload)) for at, payload in found)


def _envelope(event: dict[str, Any]) -> Iterable[Any]:
    return map(event.get, _ENVELOPE)


def _ending(event: dict[str, Any], at: datetime) -> tuple[Any, datetime]:
    return event.get("context"), at.astimezone(UTC)
