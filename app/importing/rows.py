"""Turns one line's values into a checked row, or says why that fails."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from app.core.events import EventId, Id, Millis, Percent, Position, Seconds
from app.core.field_errors import field_error_of
from app.importing.mapping import Columns, EventType
from app.importing.times import time_parser

_MAX_TITLE: Final = 500
_MAX_ID: Final = 128
_DAY_MS: Final = 24 * 3600 * 1000
_PASSED_ON: Final = ("event_id", "title", "watch_time_sec", "percent_watched", "ended", "position")


class Row(Struct, frozen=True, kw_only=True, gc=False):
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
    time_column, user_column, item_column = fields["time"], fields["user_id"], fields["item_id"]
    session_column = fields.get("session_id")
    title_column = fields.get("title")
    event_type = _type_reader(columns)
    passed_on = [(field, fields[field]) for field in _PASSED_ON if field in fields]
    only_title = {field for field, _ in passed_on} <= {"title"}
    days: dict[int, str] = {}

    def day_of(ts_ms: int) -> str:
        number = ts_ms // _DAY_MS
        if (day := days.get(number)) is None:
            day = days[number] = f"{datetime.fromtimestamp(ts_ms / 1000, UTC):%Y-%m-%d}"
        return day

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
        user_id = id_of(values, user_column)
        # Without a session column, a day is a session.
        session_id = id_of(values, session_column) if session_column else f"{user_id}:{day_of(ts_ms)}"
        item_id = id_of(values, item_column)
        if only_title and kind != "watch" and _plain(user_id) and _plain(session_id) and _plain(item_id):
            title = values.get(title_column) if title_column else None
            if title is None or type(title) is str:
                return Row(
                    user_id=user_id,
                    session_id=session_id,
                    item_id=item_id,
                    event_type=kind,
                    ts_ms=ts_ms,
                    title=title or None,
                    line=line,
                    pos=pos,
                )
        found: dict[str, Any] = {
            "user_id": user_id,
            "session_id": session_id,
            "item_id": item_id,
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


def _type_reader(columns: Columns) -> Callable[[Mapping[str, Any]], EventType | None]:
    column = columns.fields.get("event_type")
    if column is None:
        return lambda values: columns.event_type
    types = columns.types

    def read(values: Mapping[str, Any]) -> EventType | None:
        name = values.get(column)
        try:
            return types[str(name).strip().lower()]
        except KeyError:
            pass
        if absent(name):
            raise Refused(f"{column}: the event type is missing")
        raise Refused(f"{column}: {shown(name)} is not a known event type; say --map-type {str(name)[:40]}=click")

    return read


def _plain(text: str) -> bool:
    """Whether this is surely a valid `Id`: the check of most, and much faster than a pattern."""
    return len(text) <= _MAX_ID and text.isprintable()


def clean_title(title: str) -> str:
    """One line of printable text, at most 500 characters."""
    text = "".join(letter if letter.isprintable() else " " for letter in title)
    return " ".join(text.split())[:_MAX_TITLE]


def id_of(values: Mapping[str, Any], column: str) -> str:
    """The value as an id without spaces around it; whole numbers are ids. Raises `Refused`."""
    value = values.get(column)
    if isinstance(value, str) and (text := value.strip(" \t")):
        return text
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer():  # a workbook's numbers are all floats
        return str(int(value))
    raise Refused(f"{column}: the value is missing" if absent(value) else f"{column}: {shown(value)} is not a valid id")


def absent(value: Any) -> bool:
    """Whether the value is missing: left out, null, or an empty cell."""
    return value is None or value == ""


def shown(value: Any) -> str:
    """The value for a message, cut off where it is long."""
    return repr(value)[:60]
