"""What is known of a body although some of it is wrong: faults of its meaning are told beside those of its types."""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
from msgspec import NODEFAULT, UNSET, Struct, UnsetType, structs

from app.core.annotations import hints_of, item_of, struct_of, value_of
from app.core.field_errors import FieldError

_S = TypeVar("_S", bound=Struct)
_T = TypeVar("_T")

_NAMED_FIELD: Final = re.compile(r"Object (?:missing required|contains unknown) field `(.+)`")


def known_part(value: Any, kind: Any) -> Any:
    """The decoded value as a `kind`, with UNSET for each part that is none: for a field that is missing or wrong, for
    an item of a list. Members of an object with free names that are wrong, if only in part, are left out.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        pass
    if isinstance(value, Mapping):
        if (struct := struct_of(value, kind)) is not None:
            return _struct(value, struct)
        if (inner := value_of(kind)) is not None:
            return _fitting(value, inner)
    elif isinstance(value, list) and (item := item_of(kind)) is not None:
        return [known_part(one, item) for one in value]
    return UNSET


def _struct(value: Mapping[str, Any], struct: type[Struct]) -> Struct:
    hints = hints_of(struct)
    found = {
        field.name: known_part(value[field.encode_name], hints[field.name]) if field.encode_name in value else UNSET
        for field in structs.fields(struct)
        if field.encode_name in value or (field.default is NODEFAULT and field.default_factory is NODEFAULT)
    }
    return struct(**found)


def or_none(known: _S) -> _S:
    """What is known of an object (see `known_part`), with None for each field that is not."""
    unknown = [name for name in known.__struct_fields__ if getattr(known, name) is UNSET]
    return structs.replace(known, **dict.fromkeys(unknown)) if unknown else known


def _fitting(members: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    found = {}
    for name, value in members.items():
        with suppress(msgspec.ValidationError):
            found[name] = msgspec.convert(value, kind)
    return found


def known_items(items: Sequence[_T]) -> Sequence[_T | UnsetType]:
    """The items of a list, UNSET for those of which nothing is known; none where nothing is known of the list."""
    return items if isinstance(items, list) else []


def beside(faults: Sequence[FieldError], more: Iterable[FieldError]) -> list[FieldError]:
    """The faults, and those of `more` that are not of a field, or of a part of one, that has a fault already."""
    wrong = {_field_of(fault) for fault in faults} - {"$"}
    below = tuple(f"{path}{end}" for path in wrong for end in ".[")
    return [*faults, *(one for one in more if one.path not in wrong and not one.path.startswith(below))]


def _field_of(fault: FieldError) -> str:
    named = _NAMED_FIELD.fullmatch(fault.message)
    return fault.path if named is None else f"{fault.path}.{named[1]}"
