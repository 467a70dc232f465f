"""What is wrong with one field of an input, where, and which values it takes."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import Struct, inspect

# A JSON path as msgspec writes it: `.name` of a struct, `[3]` of an array, `[...]` of an object.
_STEP: Final = re.compile(r"\.([^.\[]+)|\[[^\]]*\]")


# msgspec names the regular expressions and standards of types; these are what they mean.
_CURRENCY: Final = "Expected three capital letters of ISO 4217, such as 'EUR'"
_TIME: Final = "Expected a time with its zone, such as '2026-12-24T18:00:00Z'"
_PRINTABLE: Final = "Expected printable characters only; there is a control character or line break"


class FieldError(Struct, frozen=True):
    """What is wrong with an input, and where: `path` is a JSON path such as `$.items[3].position`."""

    path: str
    message: str


def field_error_of(error: msgspec.DecodeError, kind: Any) -> FieldError:
    """What msgspec says of an input that is not a `kind`, where, and which values an enum takes.

    msgspec ends a message with where it was: "… - at `$.items[0]`".
    """
    message, _, end = str(error).partition(" - at `")
    path = end.rstrip("`") or "$"
    if "matching regex" in message:
        message = _CURRENCY if "[A-Z]{3}" in message else _PRINTABLE
    elif message == "Invalid RFC3339 encoded datetime":
        message = _TIME
    elif message.startswith(("Invalid enum value", "Invalid value")) and (values := _allowed(kind, path)):
        message += f"; expected one of {', '.join(values)}"
    return FieldError(path=path, message=message)


def _allowed(kind: Any, path: str) -> list[str]:
    """The literals that may stand at the path, and the tags of structs that may stand around it."""
    found = [_type_info(kind)]
    values: dict[str, None] = {}
    for step in _STEP.finditer(path):
        found = [option for info in found for option in _options(info)]
        name = step[1]
        structs = [info for info in found if isinstance(info, inspect.StructType)]
        values = {repr(info.tag): None for info in structs if name is not None and info.tag_field == name}
        found = [inner for info in found for inner in _inside(info, name)]
    literals = (info for outer in found for info in _options(outer) if isinstance(info, inspect.LiteralType))
    return [*values, *(repr(value) for info in literals for value in info.values)]


_type_info: Final = cache(inspect.type_info)


def _options(info: inspect.Type) -> Iterator[inspect.Type]:
    """The type without its metadata, or each type of a union."""
    if isinstance(info, inspect.Metadata):
        yield from _options(info.type)
    elif isinstance(info, inspect.UnionType):
        for option in info.types:
            yield from _options(option)
    else:
        yield info


def _inside(info: inspect.Type, name: str | None) -> Iterator[inspect.Type]:
    """What one step into the type leads to; `name` is None for a step into an array or an object."""
    if isinstance(info, inspect.StructType):
        yield from (field.type for field in info.fields if field.encode_name == name)
    elif isinstance(info, inspect.ListType | inspect.VarTupleType):
        yield info.item_type
    elif isinstance(info, inspect.DictType):
        yield info.value_type
