"""The kinds of entries in a history, and the names of event types that stand for them."""

from collections.abc import Mapping, Sequence
from typing import Final

from app.core.decoding import InvalidInput
from app.core.event_types import MEANINGS, EventTypes, Meaning
from app.core.field_errors import FieldError
from app.core.signals import Kind

_OF_SERVICE: Final[Mapping[str, int]] = {kind.name.lower(): int(kind) for kind in Kind}
_NAMES: Final = {kind: name for name, kind in _OF_SERVICE.items()}
_GONE: Final = "unknown"
_NONE: Final = "none"
_OF_MEANING: Final[Mapping[Meaning, frozenset[int]]] = {
    "interest": frozenset([Kind.VIEW, Kind.CLICK]),
    "consumption": frozenset([Kind.WATCH, Kind.PURCHASE]),
    "rejection": frozenset(),
}


def kind_name(kind: int, types: EventTypes) -> str:
    """The name of the event type; that of no type that was ever made is `unknown`."""
    return _NAMES.get(kind) or types.name_of(kind) or _GONE


def seen_kinds(names: Sequence[str], types: EventTypes, field: str = "exclude_seen") -> frozenset[int] | None:
    """The kinds of these types and of all types of these meanings; `none` is of no kind. None without names.

    Raises `InvalidInput` for other names, which stand in this field.
    """
    found: set[int] = set()
    errors = []
    for place, name in enumerate(names):
        if name in _OF_SERVICE:
            found.add(_OF_SERVICE[name])
        elif (own := types.get(name)) is not None:
            found.add(own.number)
        elif (meaning := next((one for one in MEANINGS if one == name), None)) is not None:
            found |= _OF_MEANING[meaning]
            found.update(one.number for one in types.of_meaning(meaning))
        elif name != _NONE:
            known = ", ".join(map(repr, (*_OF_SERVICE, *types.names(), *MEANINGS, _NONE)))
            errors.append(FieldError(f"$.{field}[{place}]", f"Invalid value {name[:64]!r}; expected one of {known}"))
    if errors:
        raise InvalidInput(*errors)
    return frozenset(found) if names else None
