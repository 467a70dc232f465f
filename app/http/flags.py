"""Headers that are true or false."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from litestar.types import Scope

from app.core.decoding import InvalidInput, read_noting
from app.core.field_errors import FieldError
from app.http.context import context_of

_VALUES: Final = {b"true": True, b"false": False}


def flag(name: str, description: str) -> dict[str, Any]:
    """The OpenAPI parameter of such a header."""
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "boolean"},
    }


def flag_of(scope: Scope, parameter: Mapping[str, Any]) -> bool:
    """What the request says; false where it does not. Raises `InvalidInput` for another value."""
    name: str = parameter["name"]
    given = context_of(scope).headers.get(_header_of(name))
    found = False if given is None else _VALUES.get(given.strip().lower())
    if found is None:
        raise InvalidInput(FieldError(name, "expected true or false"))
    return found


@cache
def _header_of(name: str) -> bytes:
    return name.lower().encode()


def flag_faults(scope: Scope, parameters: Iterable[Mapping[str, Any]]) -> list[FieldError]:
    """What is wrong with those of a call's headers that are flags."""
    faults: list[FieldError] = []
    for parameter in parameters:
        if parameter["schema"]["type"] == "boolean":
            read_noting(faults, flag_of, scope, parameter)
    return faults
