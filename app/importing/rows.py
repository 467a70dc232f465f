"""Turns one line's values into a checked row, or says why that fails."""

import re
import shlex
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from app.core.event_times import Millis
from app.core.event_types import EventCounts, EventType
from app.core.events import EventId, Id, Percent, Position, Rated, Seconds
from app.core.field_errors import field_error_of
from app.importing.amounts import Amounts, amounts_reader
from app.importing.mapping import Columns, plain_type
from app.importing.times import time_parser
from app.importing.values import Refused, absent, flag_of, id_of, id_text, number_of, shown

_MAX_TITLE: Final = 500
_TAKES_BACK: Final = re.compile(r"cancel|refund|return|chargeback|remove|delete|undo|^un(?:like|save|follow|subscribe)")
_MAX_ID: Final = 128
_DAY_MS: Final = 24 * 3600 * 1000
_MAX_KNOWN_TYPES: Final = 1_000
_NUMBERS: Final = frozenset({"watch_time_sec", "percent_watched", "position"})
_WITHOUT_AMOUNTS: Final = frozenset({"watch", "impression"})
_PASSED_ON: Final = ("event_id", "title", "watch_time_sec", "percent_watched", "ended", "position")


class Row(Struct, frozen=True, kw_only=True, gc=False):
    """One event of a file, checked. `line` counts from 1; `pos` is the number of bytes read of the file so far.
    `counts`: of the types that need not be made or were made.
    """

    user_id: Id
    session_id: Id
    item_id: Id
    event_type: str
    ts_ms: Millis
    event_id: EventId | None = None
    title: str | None = None
    watch_time_sec: Seconds | None = None
    percent_watched: Percent | None = None
    ended: bool | None = None
    position: Position = 0
    rating: Rated | None = None
    counts: EventCounts | None = None
    amounts: Amounts | None = None
    line: int
    pos: int


class BadRow(Struct, frozen=True, kw_only=True):
    """A line that is not a valid event: the reason and its text, cut off where it is very long."""

    line: int
    pos: int
    reason: str
    text: str


def row_maker(columns: Columns, *, latest_ms: int) -> Callable[[Mapping[str, Any], int, int], Row | None]:
    """A function of (column → value, line, pos) that gives the row, or None for an ignored event type.

    It raises `Refused` with the reason. Times after `latest_ms` are refused. Raises `UserError` for a time format or
    a time zone that does not exist.
    """
    make = _maker_without_amounts(columns, latest_ms=latest_ms)
    amounts_of = amounts_reader(columns.fields)
    if amounts_of is None:
        return make

    def make_with_amounts(values: Mapping[str, Any], line: int, pos: int) -> Row | None:
        row = make(values, line, pos)
        if row is None or row.event_type in _WITHOUT_AMOUNTS:
            return row
        return structs.replace(row, amounts=amounts_of(values, row.event_type))

    return make_with_amounts


def _maker_without_amounts(columns: Columns, *, latest_ms: int) -> Callable[[Mapping[str, Any], int, int], Row | None]:
    parse_time = time_parser(columns.time_format, columns.timezone, latest_ms=latest_ms)
    fields = columns.fields
    time_column, user_column, item_column = fields["time"], fields["user_id"], fields["item_id"]
    session_column = fields.get("session_id")
    offset_column = fields.get("time_offset_ms")
    event_type = _type_reader(columns)
    passed_on = [(field, fields[field]) for field in _PASSED_ON if field in fields]
    only_title = {field for field, _ in passed_on} <= {"title"}
    day_of = _day_namer()
    own = [columns.known.get(name) for name in {*columns.types.values(), columns.event_type} if name is not None]
    rated = {one.name: one for one in own if one is not None and one.rating_scale is not None}
    counts = {one.name: one.counts(None) for one in own if one is not None and one.rating_scale is None}
    with_numbers = {"watch", *rated}
    plain_row = _plain_row_maker(fields, day_of, counts) if only_title else _no_row

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
        ts_ms += _offset(values, offset_column) if offset_column else 0
        if kind not in with_numbers and (row := plain_row(values, kind, ts_ms, line, pos)) is not None:
            return row
        user_id, session_id = _who(values, user_column, session_column)
        session_id = session_id or _session_of(user_id, day_of(ts_ms))
        found: dict[str, Any] = {
            "user_id": user_id,
            "session_id": session_id,
            "item_id": id_of(values, item_column),
            "event_type": kind,
            "ts_ms": ts_ms,
            "counts": counts.get(kind),
            "line": line,
            "pos": pos,
        }
        for name, column in passed_on:
            value = values.get(column)
            if not absent(value):
                found[name] = _flag(value, column) if name == "ended" else _number(value, column, name)
        if kind == "watch" and "watch_time_sec" not in found:
            raise Refused("a watch needs its watch_time_sec; say --map watch_time_sec=COLUMN")
        if kind in rated:
            found["rating"], found["counts"] = _rated(rated[kind], values, fields.get("rating"))
        try:
            return msgspec.convert(found, Row, strict=False)
        except msgspec.ValidationError as error:
            field_error = field_error_of(error, Row)
            field = field_error.path.removeprefix("$.")
            hint = "; say --map event_id= to derive ids from the rows" if field == "event_id" else ""
            raise Refused(f"{fields.get(field, field)}: {field_error.message}{hint}") from None

    return make


def _day_namer() -> Callable[[int], str]:
    """A function that names the day of a time in milliseconds."""
    days: dict[int, str] = {}

    def day_of(ts_ms: int) -> str:
        number = ts_ms // _DAY_MS
        if (day := days.get(number)) is None:
            day = days[number] = f"{datetime.fromtimestamp(ts_ms / 1000, UTC):%Y-%m-%d}"
        return day

    return day_of


def _session_of(user_id: str, day: str) -> str:
    """Without a session, a day of the user is one."""
    session_id = f"{user_id}:{day}"
    if len(session_id) <= _MAX_ID:
        return session_id
    return f"{blake2b(user_id.encode(), digest_size=16).hexdigest()}:{day}"


def _no_row(*_: object) -> None:
    return None


def _plain_row_maker(
    fields: Mapping[str, str], day_of: Callable[[int], str], counts: Mapping[str, EventCounts]
) -> Callable[[Mapping[str, Any], str, int, int, int], Row | None]:
    """As `row_maker`, but without the checks of each value: None where only these can tell. Most rows need none."""
    user_column, item_column = fields["user_id"], fields["item_id"]
    session_column, title_column = fields.get("session_id"), fields.get("title")

    def plain_row(values: Mapping[str, Any], kind: str, ts_ms: int, line: int, pos: int) -> Row | None:
        user, item = values.get(user_column), values.get(item_column)
        session = values.get(session_column) if session_column else None
        title = values.get(title_column) if title_column else None
        if not (type(user) is str and type(item) is str and (title is None or type(title) is str)):
            return None
        user_id, item_id = _plain_id(user), _plain_id(item)
        if user_id is None or item_id is None:
            return None
        if type(session) is str:
            session_id = _plain_id(session)
        else:
            session_id = _session_of(user_id, day_of(ts_ms)) if session is None else None
        if session_id is None:
            return None
        return Row(
            user_id=user_id,
            session_id=session_id,
            item_id=item_id,
            event_type=kind,
            ts_ms=ts_ms,
            title=None if absent(title) else title,
            counts=counts.get(kind),
            line=line,
            pos=pos,
        )

    return plain_row


def _who(values: Mapping[str, Any], user_column: str, session_column: str | None) -> tuple[str, str | None]:
    """The user and the session, if there is one. Without a user, a session counts as one."""
    if session_column is None or absent(values.get(session_column)):
        return id_of(values, user_column), None
    session_id = id_of(values, session_column)
    return session_id if absent(values.get(user_column)) else id_of(values, user_column), session_id


def _type_reader(columns: Columns) -> Callable[[Mapping[str, Any]], str | None]:
    column = columns.fields.get("event_type")
    if column is None:
        return lambda values: columns.event_type
    types = columns.types
    known: dict[Any, str | None] = {}

    def read(values: Mapping[str, Any]) -> str | None:
        name = values.get(column)
        if type(name) is str and name in known:
            return known[name]
        if absent(name):
            if columns.other_types_ignored:
                return None
            raise Refused(f"{column}: the event type is missing")
        exact = columns.exact_types or (type(name) is str and name in types)
        plain = str(name) if exact else plain_type(str(name))
        if plain not in types and not columns.other_types_ignored:
            # What takes an event back is never one for its item.
            words = ("ignore",) if _TAKES_BACK.search(plain_type(str(name))) else ("click", "ignore")
            hints = (f"--map-type {shlex.quote(f'{str(name)[:40]}={word}')}" for word in words)
            raise Refused(f"{column}: {shown(name)} is not a known event type; say {' or '.join(hints)}")
        if type(name) is str and len(known) < _MAX_KNOWN_TYPES:
            known[name] = types.get(plain)
        return types.get(plain)

    return read


def _offset(values: Mapping[str, Any], column: str) -> int:
    try:
        return round(float(values.get(column) or 0))
    except (ValueError, TypeError, OverflowError):
        raise Refused(f"{column}: {shown(values.get(column))} is not a number of milliseconds") from None


def _number(value: Any, column: str, field: str) -> Any:
    """The value; of a text in the place of a number it says so, with the value."""
    if field not in _NUMBERS or not isinstance(value, str):
        return value
    number = number_of(value)
    if number is None:
        raise Refused(f"{column}: {shown(value)} is not a number, such as 5 or 5.5")
    return int(number) if number.is_integer() else number


def _rated(own: EventType, values: Mapping[str, Any], column: str | None) -> tuple[float, EventCounts]:
    value = None if column is None else values.get(column)
    if absent(value):
        raise Refused(f"{column or 'rating'}: missing for the type {own.name}; say --map rating=COLUMN")
    number = None if isinstance(value, bool) else number_of(value)
    try:
        counts = own.counts(number)
    except ValueError as error:
        raise Refused(f"{column}: {shown(value)} is not on the scale: {error}") from None
    assert number is not None
    return number, counts


def _flag(value: Any, column: str) -> bool:
    flag = flag_of(value)
    if flag is None:
        raise Refused(f"{column}: {shown(value)} is neither true nor false; say --map ended= to leave it out")
    return flag


def _plain_id(text: str) -> str | None:
    """The id that a text surely is, as is found much faster than by a pattern; None where it may be none."""
    if absent(text):
        return None
    found = id_text(text)
    return found if len(found) <= _MAX_ID and found.isprintable() else None


def clean_title(title: str) -> str:
    """One line of printable text, at most 500 characters."""
    text = "".join(letter if letter.isprintable() else " " for letter in title)
    return " ".join(text.split())[:_MAX_TITLE]
