"""What the types of a request's fields cannot say of them: names that only the running service knows, such as
attributes in a filter, and cursors. Their faults are told together with those of the types.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

import msgspec
from litestar.types import Scope
from msgspec import Struct

from app.api.pages import list_asked
from app.core.decoding import InvalidInput
from app.core.field_errors import FieldError
from app.core.given_history import history_faults
from app.core.kinds import seen_kinds
from app.core.page_cursor import read_cursor
from app.core.visitors import OtherUser
from app.errors import DependencyDown
from app.http import schema
from app.serving.known_event_types import KnownEventTypes
from app.serving.recommender import Recommender

_V = TypeVar("_V", bound=Struct)

Check: TypeAlias = tuple[type, Callable[[Any, Scope], Awaitable[object]]]
"""The type of the values that are checked, as JSON has it, and what raises `InvalidInput` for a wrong one in the
request.
"""


class FieldChecks:
    """By field. A request with one of these fields is checked when the field is used; one with several of them, and one
    with another fault, here: all of its faults are told at once.
    """

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks

    async def query(self, scope: Scope, kind: type[_V]) -> _V:
        """As `schema.query_of`."""
        return await self._whole(scope, lambda: schema.query_of(scope, kind), lambda: schema.values_of(scope, kind)[0])

    async def body(self, scope: Scope, read: Callable[[bytes], _V], body: bytes) -> _V:
        """As `read`. After a first fault the rest of the body may be no JSON: then that fault is all."""
        return await self._whole(scope, lambda: read(body), lambda: msgspec.json.decode(body))

    async def _whole(self, scope: Scope, read: Callable[[], _V], values: Callable[[], Any]) -> _V:
        faults: Sequence[FieldError] = ()
        try:
            found = read()
        except OtherUser:
            raise
        except InvalidInput as error:
            if error.malformed:
                raise
            faults = error.field_errors
        else:
            if len([name for name in self._checks if getattr(found, name, None)]) < 2:
                return found
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidInput):
            faults = [*faults, *await self._faults(scope, values(), {fault.path for fault in faults})]
        if faults:
            raise InvalidInput(*faults)
        return found

    async def _faults(self, scope: Scope, values: Any, known: set[str]) -> list[FieldError]:
        """Without those of fields with a fault that is known already."""
        below = tuple(f"{path}[" for path in known)
        found: list[FieldError] = []
        for name, (kind, check) in self._checks.items() if isinstance(values, dict) else ():
            if isinstance(value := values.get(name), kind):
                try:
                    await check(value, scope)
                except InvalidInput as error:
                    found += error.field_errors
                except DependencyDown:
                    continue  # what is known to be wrong is told without it
        return [fault for fault in found if fault.path not in known and not fault.path.startswith(below)]


async def check_cursor(text: str, scope: Scope) -> None:
    read_cursor(text, list_asked(scope))


def filter_check(filter_of: Callable[[str], Awaitable[object]]) -> Check:
    """`filter_of` makes a filter of a text."""

    async def fits(text: str, _: Scope) -> None:
        await filter_of(text)

    return str, fits


def list_checks(recommender: Recommender, known: KnownEventTypes) -> FieldChecks:
    """Of requests for lists."""

    async def history(events: list[Any], _: Scope) -> None:
        if faults := history_faults(events, await known.get()):
            raise InvalidInput(*faults)

    def of_kinds(field: str) -> Check:
        async def kinds(names: list[Any], _: Scope) -> None:
            texts = [name if isinstance(name, str) else "none" for name in names]
            seen_kinds(texts, await known.get(), field)

        return list, kinds

    return FieldChecks(
        {
            "filter": filter_check(recommender.filter_of),
            "exclude_seen": of_kinds("exclude_seen"),
            "did": of_kinds("did"),
            "history": (list, history),
            "cursor": (str, check_cursor),
        }
    )
