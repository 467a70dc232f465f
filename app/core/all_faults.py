"""Everything that is wrong with a decoded body, named by path. msgspec names the first fault alone."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

import msgspec
from msgspec import NODEFAULT, Struct, structs

from app.core.annotations import hints_of, item_of, struct_of, value_of
from app.core.field_errors import FieldError, field_error_of

MAX_FAULTS: Final = 100
_RAW: Final = "Expected `raw`"


def faults_of(value: Any, kind: Any) -> list[FieldError]:
    """The faults of a value that is no `kind`, in the order of its fields, up to 100."""
    return list(islice(_faults(value, kind, "$"), MAX_FAULTS))


def _faults(value: Any, kind: Any, path: str) -> Iterator[FieldError]:
    if kind is msgspec.Raw:
        return  # what is decoded later
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        first = field_error_of(error, kind)
    else:
        return
    found = _inside(value, kind, path)
    fault = next(found, None)
    if fault is None:
        if first.message.startswith(_RAW):
            return  # nothing but that a decoded value is not undecoded
        yield FieldError(path + first.path.removeprefix("$"), first.message)
    else:
        yield fault
        yield from found


def _inside(value: Any, kind: Any, path: str) -> Iterator[FieldError]:
    """Those of the fields or items of the value; none where the fault is that of the value itself."""
    if isinstance(value, Mapping):
        if (struct := struct_of(value, kind)) is not None:
            yield from _of_fields(value, struct, path)
        elif (inner := value_of(kind)) is not None:
            for name, one in value.items():
                yield from _faults(one, inner, f"{path}.{name}")
    elif isinstance(value, list):
        item = item_of(kind)
        if item is not None:
            for number, inner in enumerate(value):
                yield from _faults(inner, item, f"{path}[{number}]")


def _of_fields(value: Mapping[str, Any], struct: type[Struct], path: str) -> Iterator[FieldError]:
    hints, tag = hints_of(struct), struct.__struct_config__.tag_field
    known = {field.encode_name: field for field in structs.fields(struct)}
    for name, field in known.items():
        if name in value:
            yield from _faults(value[name], hints[field.name], f"{path}.{name}")
        elif field.default is NODEFAULT and field.default_factory is NODEFAULT:
            yield FieldError(path, f"Object missing required field `{name}`")
    if struct.__struct_config__.forbid_unknown_fields:
        for name in value:
            if name not in known and name != tag:
                yield FieldError(path, f"Object contains unknown field `{name}`")
