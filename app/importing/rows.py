"""Turns one line's values into a checked row, or says why that fails."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from app.core.decoding import field_error_of
from app.core.events import EventId, Id, Millis, Percent, Position, Seconds
from app.importing.mapping import Columns, EventType
from app.importing.times import time_parser

_MAX_TITLE: Final = 500
_PASSED_ON: Final = ("event_id", "title", "watch_time_sec", "percent_watched", "ended", "position")


class Row(Struct, frozen=True, kw_only=True):
    """One event of a file, checked. `line` counts from 1; `pos` is the number of bytes read of the file so far."""

    user_id: Id
    session_id: Id
    item_id: Id
    event_type: EventType
    ts_ms: Millis
    event_id: EventId | None = None
    title: str | None = None
    watch_time_sec: Seconds | None = None
    percent_watched: Percent | None = None
    ended: bool | None = None
    position: Position = 0
    line: int
    pos: int


class BadRow(Struct, frozen=True, kw_only=True):
    """A line that is not a valid event: the reason and its text, cut off where it is very long."""

    line: int
    pos: int
    reason: str
    text: str


class Refused(ValueError):
    """Why some values are not a valid event; the reader turns it into a `BadRow`."""


def row_maker(columns: Columns, *, latest_ms: int) -> Callable[[Mapping[str, Any], int, int], Row | None]:
    """A function of (column → value, line, pos) that gives the row, or None for an ignored event type.

    It raises `Refused` with the reason. Times after `latest_ms` are refused. Raises `UserError` for a time format or
    a time zone that does not exist.
    """
    parse_time = time_parser(columns.time_format, columns.timezone, latest_ms=latest_ms)
    fields = columns.fields
    time_column = fields["time"]
    type_column = fields.get("event_type")
    passed_on = [(field, fields[field]) for field in _PASSED_ON if field in fields]

    def event_type(values: Mapping[str, Any]) -> EventType | None:
        if type_column is None:
            return columns.event_type
        name = values.get(type_column)
        try:
            return columns.types[str(name).strip().lower()]
        except KeyError:
            pass
        if absent(name):
            raise Refused(f"{type_column}: the event type is missing")
        raise Refused(f"{type_column}: {shown(name)} is not a known event type; say --map-type {str(name)[:40]}=click")

    def make(values: Mapping[str, Any], line: int, pos: int) -> Row | None:
        kind = event_type(values)
        if kind is None:
            return None
        time = values.get(time_column)
        if absent(time):
            raise Refused(f"{time_column}: the time is missing")
        try:
            ts_ms = parse_time(time)
        except ValueError as error:
            raise Refused(f"{time_column}: {error}") from None
        user_id = id_of(values, fields["user_id"])
        if "session_id" in fields:
            session_id = id_of(values, fields["session_id"])
        else:  # without a session column, a day is a session
            session_id = f"{user_id}:{datetime.fromtimestamp(ts_ms / 1000, UTC):%Y-%m-%d}"
        found: dict[str, Any] = {
            "user_id": user_id,
            "session_id": session_id,
            "item_id": id_of(values, fields["item_id"]),
            "event_type": kind,
            "ts_ms": ts_ms,
            "line": line,
            "pos": pos,
        }
        for name, column in passed_on:
            value = values.get(column)
            if not absent(value):
                found[name] = value
        if kind == "watch" and "watch_time_sec" not in found:
            raise Refused("a watch needs its watch_time_sec; say --map watch_time_sec=COLUMN")
        try:
            return msgspec.convert(found, Row, strict=False)
        except msgspec.ValidationError as error:
            field_error = field_error_of(error, Row)
            field = field_error.path.removeprefix("$.")
            raise Refused(f"{fields.get(field, field)}: {field_error.message}") from None

    return make


def clean_title(title: str) -> str:
    """One line of printable text, at most 500 characters."""
    text = "".join(letter if letter.isprintable() else " " for letter in title)
    return " ".join(text.split())[:_MAX_TITLE]


def id_of(values: Mapping[str, Any], column: str) -> str:
    """The value as an id; whole numbers are ids. Raises `Refused`."""
    value = values.get(column)
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise Refused(f"{column}: the value is missing" if absent(value) else f"{column}: {shown(value)} is not a valid id")


def absent(value: Any) -> bool:
    """Whether the value is missing: left out, null, or an empty cell."""
    return value is None or value == ""


def shown(value: Any) -> str:
    """The value for a message, cut off where it is long."""
    return repr(value)[:60]
