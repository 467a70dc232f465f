"""Attributes of items: values by name, each of the type that its name is declared with.

A stored value tells its type, so that what was stored under another declaration is told apart: a number, a text, a flag
and a list (of texts) are what they are in JSON, a time is a `Moment`, a place a `Place`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from msgspec import Meta, Struct

from app.core.events import PRINTABLE, Id
from app.core.field_errors import FieldError

MAX_DECLARED: Final = 200
MAX_TEXT: Final = 500
MAX_LIST: Final = 50
MAX_OF_AN_ITEM: Final = 100
# What a double holds exactly, and more than any price or size.
_LARGEST: Final = 1e15

AttributeType: TypeAlias = Literal["number", "text", "flag", "time", "list", "place"]
TYPES: Final[tuple[str, ...]] = get_args(AttributeType)

BUILT_IN: Final[Mapping[str, AttributeType]] = {
    "item_id": "text",
    "title": "text",
    "categories": "list",
    "tags": "list",
    "published_at": "time",
    "expires_at": "time",
    "hidden": "flag",
}
"""What every item has: these names are taken."""

AttributeName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=PRINTABLE, description="1 to 64 printable characters")
]
# Without a pattern: msgspec 0.22 frees that of a text twice where it stands in a union with a list.
Text: TypeAlias = Annotated[str, Meta(max_length=MAX_TEXT)]
Texts: TypeAlias = Annotated[list[Id], Meta(max_length=MAX_LIST)]


class Place(Struct, frozen=True, forbid_unknown_fields=True):
    """A point on the globe, in degrees."""

    lat: Annotated[float, Meta(ge=-90.0, le=90.0)]
    lon: Annotated[float, Meta(ge=-180.0, le=180.0)]


class Moment(Struct, frozen=True, forbid_unknown_fields=True):
    """A time as it is stored, in milliseconds since 1970."""

    at_ms: int


GivenValue: TypeAlias = bool | float | Text | Texts | Place
StoredValue: TypeAlias = bool | float | str | list[str] | Place | Moment
ReadTime: TypeAlias = Callable[[str], int | None]
"""A time as clients write it, in milliseconds; None for text that is not one."""

_EXPECTED: Final[Mapping[AttributeType, str]] = {
    "number": "a number between -1e15 and 1e15",
    "text": "printable text",
    "flag": "true or false",
    "time": "a time such as 2026-12-24T18:00:00+01:00, or a day such as 2026-12-24",
    "list": "a list of texts",
    "place": '{"lat": …, "lon": …}',
}


_PRINTABLE: Final = re.compile(PRINTABLE)


def stored_values(
    given: Mapping[str, GivenValue], declared: Mapping[str, AttributeType], read_time: ReadTime, path: str
) -> tuple[dict[str, StoredValue], list[FieldError]]:
    """The values to store, and what is wrong with the others. `path`: of `given`."""
    stored: dict[str, StoredValue] = {}
    faults = []
    for name, value in given.items():
        kind = declared.get(name)
        if kind is None:
            faults.append(FieldError(f"{path}.{name}", unknown(name, declared)))
            continue
        found = _stored(value, kind, read_time)
        if found is None:
            faults.append(FieldError(f"{path}.{name}", f"Expected {_EXPECTED[kind]}: the attribute is a {kind}"))
        else:
            stored[name] = found
    return stored, faults


def unknown(name: str, declared: Mapping[str, AttributeType]) -> str:
    """Says what to do about a name that is not declared."""
    if name in BUILT_IN:
        return f"`{name}` is a field of the item itself, not an attribute"
    known = ", ".join(sorted(declared)[:20]) + (", …" if len(declared) > 20 else "")
    return f"unknown attribute; declare it with PUT /attributes/{name}" + (f", or use one of {known}" if known else "")


def _stored(value: GivenValue, kind: AttributeType, read_time: ReadTime) -> StoredValue | None:
    match kind, value:
        case ("flag", bool()) | ("place", Place()):
            return value
        case "text", str() if _PRINTABLE.match(value):
            return value
        case "number", float() if abs(value) <= _LARGEST:
            return value
        case "time", str():
            at_ms = read_time(value)
            return None if at_ms is None else Moment(at_ms)
        case "list", list():
            return list(dict.fromkeys(value))
    return None


def shown_values(stored: Mapping[str, Any], write_time: Callable[[int], str]) -> dict[str, Any]:
    """Values as they are stored in JSON, as clients write them."""
    return {
        name: write_time(value["at_ms"]) if isinstance(value, dict) and "at_ms" in value else value
        for name, value in stored.items()
    }
