"""Ids that are written as integers and times that are not in milliseconds, turned into what the structs take.

The structs take one spelling, which costs nothing more to read. Only a body that they refuse is looked at for others.
"""

import calendar
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from msgspec import Struct, structs

from app.core.annotations import hints_of, item_of, options_of, struct_of
from app.core.field_errors import FieldError

# Between 1990 and 2100 no number is a time both in seconds and in milliseconds.
FROM_SEC: Final = 631_152_000
LEAST_MILLIS: Final = 4_102_444_800
"""A smaller integer may be in seconds."""

MARK: Final = "x-spelling"
"""Of a type's JSON schema, where other spellings are taken: `id`, `event_id` or `time`."""
OTHER_SPELLINGS: Final[Mapping[str, list[dict[str, Any]]]] = {
    "id": [{"type": "integer"}],
    "event_id": [{"type": "integer", "minimum": 10_000_000}],
    "time": [
        {"type": "number", "format": "double", "minimum": FROM_SEC, "exclusiveMaximum": LEAST_MILLIS},
        {"type": "string", "format": "date-time"},
    ],
}
"""JSON schemas of what is taken besides."""

_PARTS: Final = ("year", "month", "day", "hour", "minute", "second")
# RFC 3339, with a space or a T, and with or without the seconds and the colon of the offset.
_ISO: Final = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)[Tt ](?P<hour>\d\d):(?P<minute>\d\d)"
    r"(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?(?P<zone>[Zz]|(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d))?",
    re.ASCII,
)
_NO_ID: Final = "an id is text or an integer; a fraction or a number such as 1e3 is written as text"


def respell(value: Any, kind: Any, path: str = "$") -> tuple[Any, list[FieldError]]:
    """The decoded value with one spelling for each id and time of a `kind`, and those that have none."""
    errors: list[FieldError] = []
    return _respelled(value, kind, path, errors), errors


def millis_of(value: float | str) -> int:
    """Milliseconds since 1970. Raises `ValueError` with the reason for what may mean several times, or none.

    A number from 1990 to 2100 in seconds or in milliseconds: none is both. A text is ISO 8601 with its zone.
    """
    if isinstance(value, str):
        return _millis_of_iso(value)
    if FROM_SEC <= value < LEAST_MILLIS:
        return round(value * 1000)
    in_millis = FROM_SEC * 1000 <= value < LEAST_MILLIS * 1000
    if isinstance(value, int) or (in_millis and value.is_integer()):
        return int(value)
    if in_millis:
        raise ValueError(f"a fraction of milliseconds; round it to {round(value)}")
    raise ValueError(
        "a fraction or a power of ten that is no time from 1990 to 2100, in seconds or milliseconds since 1970"
    )


def _millis_of_iso(text: str) -> int:
    found = _ISO.fullmatch(text)
    if found is None:
        raise ValueError(
            "neither milliseconds since 1970 nor seconds nor ISO 8601, such as 2026-11-26T09:30:00Z; numbers are "
            "written without quotes"
        )
    if found["zone"] is None:
        raise ValueError("the time has no zone; end it with Z or an offset such as +02:00")
    year, month, day, hour, minute, second = (int(found[name] or 0) for name in _PARTS)
    if not (year >= 1970 and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
        raise ValueError("there is no such day since 1970")
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("there is no such time of day")
    ahead_min = 0
    if found["sign"] is not None:
        if int(found["hours"]) > 23 or int(found["minutes"]) > 59:
            raise ValueError("there is no such offset from UTC")
        ahead_min = int(found["sign"] + "1") * (int(found["hours"]) * 60 + int(found["minutes"]))
    seconds = calendar.timegm((year, month, day, hour, minute - ahead_min, second))
    return max(0, seconds * 1000 + int((found["fraction"] or "")[:3].ljust(3, "0")))


class _Spelled(Struct, frozen=True):
    """A field that may be spelled in several ways, or has such fields in it."""

    name: str
    kind: Any
    spelling: str | None


def _respelled(value: Any, kind: Any, path: str, errors: list[FieldError]) -> Any:
    if isinstance(value, dict):
        if (struct := struct_of(value, kind)) is not None:
            for field in _spelled_fields(struct):
                if field.name in value:
                    value[field.name] = _of_field(value[field.name], field, f"{path}.{field.name}", errors)
    elif isinstance(value, list) and (item := item_of(kind)) is not None:
        field = _Spelled("", item, _spelling_of(item))
        return [_of_field(one, field, f"{path}[{index}]", errors) for index, one in enumerate(value)]
    return value


def _of_field(value: Any, field: _Spelled, path: str, errors: list[FieldError]) -> Any:
    if field.spelling is None:
        return _respelled(value, field.kind, path, errors)
    if field.spelling != "time":
        if type(value) is int:  # not a bool
            return str(value)
        if isinstance(value, float):
            errors.append(FieldError(path, _NO_ID))
    elif isinstance(value, float | str):
        try:
            return millis_of(value)
        except ValueError as error:
            errors.append(FieldError(path, str(error)))
    return value


@cache
def _spelled_fields(struct: type[Struct]) -> tuple[_Spelled, ...]:
    names = {field.name: field.encode_name for field in structs.fields(struct)}
    fields = [
        _Spelled(names[name], kind, _spelling_of(kind)) for name, kind in hints_of(struct).items() if name in names
    ]
    return tuple(field for field in fields if field.spelling is not None or _has_parts(field.kind))


def _has_parts(kind: Any) -> bool:
    return item_of(kind) is not None or any(
        isinstance(option, type) and issubclass(option, Struct) for option, _ in options_of(kind)
    )


def _spelling_of(kind: Any) -> str | None:
    marks = (meta.extra_json_schema or {} for _, metas in options_of(kind) for meta in metas)
    return next((str(mark[MARK]) for mark in marks if MARK in mark), None)
