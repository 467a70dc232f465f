"""Everything that is wrong with a decoded body, named by path. msgspec names the first fault alone."""

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Struct, structs

from app.core.field_errors import FieldError, field_error_of

MAX_FAULTS: Final = 100


def faults_of(value: Any, kind: Any) -> list[FieldError]:
    """The faults of a value that is no `kind`, in the order of its fields, up to 100; none for a kind that leaves parts
    of the body undecoded.
    """
    if _leaves_raw(kind):
        return []
    return list(islice(_faults(value, kind, "$"), MAX_FAULTS))


def _faults(value: Any, kind: Any, path: str) -> Iterator[FieldError]:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        first = field_error_of(error, kind)
    else:
        return
    found = _inside(value, kind, path)
    fault = next(found, None)
    if fault is None:
        yield FieldError(path + first.path.removeprefix("$"), first.message)
    else:
        yield fault
        yield from found


def _inside(value: Any, kind: Any, path: str) -> Iterator[FieldError]:
    """Those of the fields or items of the value; none where the fault is that of the value itself."""
    if isinstance(value, Mapping):
        if (struct := _struct_of(value, kind)) is not None:
            yield from _of_fields(value, struct, path)
    elif isinstance(value, list):
        item = next((get_args(option)[0] for option in _options(kind) if get_origin(option) in (list, tuple)), None)
        if item is not None:
            for number, inner in enumerate(value):
                yield from _faults(inner, item, f"{path}[{number}]")


def _of_fields(value: Mapping[str, Any], struct: type[Struct], path: str) -> Iterator[FieldError]:
    hints, tag = _hints(struct), struct.__struct_config__.tag_field
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


def _struct_of(value: Mapping[str, Any], kind: Any) -> type[Struct] | None:
    """The struct that this object is to be: the only one, or the one that it names."""
    options = [option for option in _options(kind) if isinstance(option, type) and issubclass(option, Struct)]
    if len(options) == 1:
        return options[0]
    return next((one for one in options if value.get(one.__struct_config__.tag_field or "") == _tag(one)), None)


def _tag(struct: type[Struct]) -> Any:
    return struct.__struct_config__.tag


def _options(kind: Any) -> Iterator[Any]:
    """The type without its constraints, or each type of a union."""
    if get_origin(kind) is Annotated:
        yield from _options(get_args(kind)[0])
    elif type(None) in get_args(kind) or (get_args(kind) and get_origin(kind) not in (list, tuple, dict)):
        for option in get_args(kind):
            yield from _options(option)
    else:
        yield kind


def _leaves_raw(kind: Any) -> bool:
    options = list(_options(kind))
    inner = [get_args(option)[0] for option in options if get_origin(option) in (list, tuple)]
    for option in options:
        if isinstance(option, type) and issubclass(option, Struct):
            inner += _hints(option).values()
    return msgspec.Raw in options or any(map(_leaves_raw, inner))


@cache
def _hints(struct: type[Struct]) -> dict[str, Any]:
    return get_type_hints(struct, include_extras=True)
