"""The ids in a path, decoded and checked."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from litestar.types import Scope

from app.core.decoding import InvalidInput, read_noting
from app.core.events import Id
from app.core.field_errors import FieldError, field_error_of
from app.http import percent
from app.http.context import context_of

_KEY: Final = "path_ids"


def keep(scope: Scope, ids: Mapping[str, bytes]) -> None:
    """Ids by name, as they are written in the path."""
    scope["state"][_KEY] = ids


def named_in_path(scope: Scope) -> str | None:
    """The name of the first id in the path, where there is one."""
    return next(iter(_kept(scope)), None)


def path_id(scope: Scope, faults: Sequence[FieldError] = ()) -> str:
    """The only id in the path. Raises `InvalidInput` as `path_ids`, and `OtherUser` for that of somebody else than the
    visitor, with a key for browsers.
    """
    ((name, found),) = path_ids(scope, faults).items()
    if name == "user_id" and (visitor := context_of(scope).visitor) is not None:
        visitor.check(found)
    return found


def path_ids(scope: Scope, faults: Sequence[FieldError] = ()) -> dict[str, str]:
    """The ids in the path, by name. Raises `InvalidInput` for those that are not 1 to 128 printable characters, in
    percent-encoded UTF-8; with the `faults` that are known of the rest of the request.

    A handler asks for it once it has read all else: what is wrong elsewhere is told together with the ids.
    """
    found: dict[str, str] = {}
    wrong: list[FieldError] = []
    for name, raw in _kept(scope).items():
        if (checked := read_noting(wrong, _checked, name, raw)) is not None:
            found[name] = checked
    if wrong:
        raise InvalidInput(*wrong, *faults)
    return found


def path_faults(scope: Scope) -> Sequence[FieldError]:
    """What is wrong with the ids in the path."""
    try:
        path_ids(scope)
    except InvalidInput as error:
        return error.field_errors
    return ()


def _kept(scope: Scope) -> Mapping[str, bytes]:
    found: Mapping[str, bytes] = scope["state"].get(_KEY, {})
    return found


def _checked(name: str, raw: bytes) -> str:
    value = percent.decode(raw, name)
    try:
        return msgspec.convert(value, Id)
    except msgspec.ValidationError as error:
        raise InvalidInput(FieldError(f"$.{name}", field_error_of(error, Id).message)) from None
