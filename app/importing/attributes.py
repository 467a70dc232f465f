"""Columns of a catalogue that become attributes of the items: their types, and their values."""

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, get_args

import msgspec
from msgspec import Struct

from app.core.attributes import BUILT_IN, MAX_OF_AN_ITEM, TYPES, AttributeName, AttributeType, Moment, Place, Texts
from app.core.attributes import MAX_TEXT as MAX_LETTERS
from app.errors import UserError
from app.importing.times import TimeParser
from app.importing.values import Refused, absent, amount_of, flag_of, shown

PICTURE: Final = "picture_url"
ALL: Final = "*"
_LARGEST: Final = 1e15
_PLACE: Final = re.compile(r"\(?\s*([+-]?\d{1,2}(?:\.\d+)?)\s*[,; ]\s*([+-]?\d{1,3}(?:\.\d+)?)\s*\)?")
_FLAGS: Final = frozenset({"true", "false", "t", "f", "yes", "no", "y", "n"})
_LATITUDE: Final = ("lat", "latitude")
_LONGITUDE: Final = ("lon", "lng", "long", "longitude")

Labels = Callable[[Any], list[str]]
Reader = Callable[[Any], Any]
Readers = Mapping[AttributeType, Reader]


class WantedAttribute(Struct, frozen=True):
    """What `--attribute NAME[:TYPE][=COLUMN]` says. `name` is `ALL` for all columns that nothing else uses."""

    name: str
    column: str
    type: AttributeType | None = None


class AttributeColumn(Struct, frozen=True):
    """An attribute of the items, and the column with its values. `guessed`: its type is."""

    name: str
    column: str
    type: AttributeType
    guessed: bool = False


def wanted_attribute(text: str) -> WantedAttribute:
    """Raises `UserError` that says what is wrong."""
    left, equals, column = text.partition("=")
    name, colon, kind = left.rpartition(":")
    if not colon or (kind not in TYPES and not equals):
        name, kind = left, ""
    if kind and kind not in TYPES:
        raise UserError(f"--attribute {text}: {kind} is no type; there are {', '.join(TYPES)}")
    name = name.strip()
    try:
        msgspec.convert(name, AttributeName)
    except msgspec.ValidationError as error:
        raise UserError(f"--attribute {text}: the name: {error}") from None
    if name in BUILT_IN:
        raise UserError(f"--attribute {text}: {name} is a field of every item; say --map {name}=COLUMN")
    if name == ALL and (kind or equals):
        raise UserError(f"--attribute {text}: {ALL} takes all other columns, each with its own name and type")
    given = next((known for known in get_args(AttributeType) if known == kind), None)
    return WantedAttribute(name, column.strip() or name, given)


def columns_of(wanted: Sequence[WantedAttribute], present: Sequence[str], used: Iterable[str]) -> list[WantedAttribute]:
    """With the columns that `ALL` stands for: what the file has besides `used`. Raises `UserError`."""
    found = {one.name: one for one in wanted if one.name != ALL}
    named = {*used, *(one.column for one in found.values())}
    twice = [name for name, times in Counter(one.name for one in wanted).items() if times > 1]
    if twice:
        raise UserError(f"--attribute {', '.join(twice)}: named twice")
    if any(one.name == ALL for one in wanted):
        for column in present:
            if column and column not in named and column not in BUILT_IN:
                found.setdefault(column[:64], WantedAttribute(column[:64], column))
    if len(found) > MAX_OF_AN_ITEM:
        raise UserError(f"{len(found)} attributes; an item has at most {MAX_OF_AN_ITEM}: name them with --attribute")
    return list(found.values())


def typed(
    wanted: Sequence[WantedAttribute], rows: Iterable[Mapping[str, Any]], readers: Readers
) -> tuple[AttributeColumn, ...]:
    """The attributes with their types; those that are not given are guessed from the rows. Raises `UserError`.

    One whose type is to be guessed from no value is left out.
    """
    values: dict[str, list[Any]] = {one.column: [] for one in wanted if one.type is None}
    for row in rows if values else ():
        for column, seen in values.items():
            if not absent(value := row.get(column)):
                seen.append(value)
    found = []
    for one in wanted:
        kind = one.type or (_guess(values[one.column], readers) if values[one.column] else None)
        if kind is not None:
            found.append(AttributeColumn(one.name, one.column, kind, guessed=one.type is None))
    return tuple(found)


def readers_of(labels: Labels, parse_time: TimeParser) -> Readers:
    """For each type a function from a value of the file to one that is stored. It raises `ValueError` or `Refused`."""
    return {
        "number": _number,
        "text": _text,
        "flag": _flag,
        "time": lambda value: Moment(parse_time(value)),
        "list": lambda value: _list(labels(value)),
        "place": _place,
    }


def attributes_maker(
    columns: Sequence[AttributeColumn], readers: Readers
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A function from a row's values to the attributes of the item. It raises `Refused` with the column's name."""
    read = [(one.name, one.column, readers[one.type]) for one in columns]

    def make(values: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for name, column, reader in read:
            value = values.get(column)
            if absent(value):
                continue
            try:
                found[name] = reader(value)
            except ValueError as error:
                raise Refused(f"{column}: {error}") from None
        return found

    return make


def _guess(values: Sequence[Any], readers: Readers) -> AttributeType:
    """The narrowest type that all of the values are of."""
    if all(isinstance(value, bool) or str(value).strip().lower() in _FLAGS for value in values):
        return "flag"
    if any(isinstance(value, list) or str(value).lstrip().startswith("[") for value in values):
        return "list"
    for kind in ("number", "place", "time"):
        if _all_read(values, readers[kind]):
            return kind
    return "list" if any("|" in str(value) for value in values) and _all_read(values, readers["list"]) else "text"


def _all_read(values: Sequence[Any], reader: Reader) -> bool:
    try:
        for value in values:
            reader(value)
    except ValueError:
        return False
    return True


def _number(value: Any) -> float:
    number = amount_of(value) if isinstance(value, str) else value
    if isinstance(number, int | float) and not isinstance(number, bool) and abs(number) <= _LARGEST:
        return float(number)
    raise ValueError(f"{shown(value)} is not a number between -1e15 and 1e15")


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        raise ValueError(f"{shown(value)} is not text; say what is in it with --attribute NAME=COLUMN.PART")
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in str(value)).split())
    if len(text) > MAX_LETTERS:
        raise ValueError(f"{len(text)} characters; an attribute has at most {MAX_LETTERS}")
    return text


def _flag(value: Any) -> bool:
    flag = flag_of(value)
    if flag is None:
        raise ValueError(f"{shown(value)} is neither true nor false")
    return flag


def _list(labels: list[str]) -> list[str]:
    try:
        return msgspec.convert(labels, Texts)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def _place(value: Any) -> Place:
    """`{"lat": …, "lon": …}`, also as text, or latitude and longitude in one text."""
    found: Any = value
    if isinstance(value, str):
        text = value.strip()
        if pair := _PLACE.fullmatch(text):
            found = {"lat": pair[1], "lon": pair[2]}
        elif text.startswith("{"):
            found = _decoded(text)
    if isinstance(found, Mapping):
        plain = {str(name).lower(): inner for name, inner in found.items()}
        lat = next((plain[name] for name in _LATITUDE if name in plain), None)
        lon = next((plain[name] for name in _LONGITUDE if name in plain), None)
        with contextlib.suppress(msgspec.ValidationError):
            return msgspec.convert({"lat": lat, "lon": lon}, Place, strict=False)
    raise ValueError(f"{shown(value)} is not a place; expected latitude and longitude, such as 52.5,13.4")


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
