"""Describes each call's input and answers beside its handler, and reads the query string into a struct.

Handlers take raw bodies and decode them with msgspec, which is fast and distinguishes "not JSON" from "not valid". So
the description that the framework would read from signatures is given as `opt=call(…)`. `app.http.openapi` makes the
document from it.
"""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, TypeVar, get_origin, get_type_hints

import msgspec
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope
from msgspec import Meta, Struct, structs

from app.core.annotations import hints_of
from app.core.decoding import InvalidInput, read_noting
from app.core.field_errors import FieldError, field_error_of
from app.core.keys import Scope as KeyScope
from app.http import percent
from app.http.components import REF
from app.http.context import context_of
from app.http.problems import Problem

_OPT: Final = "call"
CALLS: Final = "calls"
"""Of a route's `opt`: its calls by method."""

_NEAR: Final = 0.6  # how alike an unknown parameter and a known one are (difflib's ratio) for it to be offered

_USER: Final = "user_id"

_Q = TypeVar("_Q", bound=Struct)


class Call(Struct, frozen=True, kw_only=True):
    """One call's input and answers. `parts`: types that the body is made of by name (`one_of`).

    `needs`: the scope of the API key, None for a call without a key. `query` and `body`: types. `answers`: by status a
    type, None for no body, or a media type when the body is not JSON. `headers`: OpenAPI parameters. `tag` groups the
    calls. Without `documented` the call is not in the OpenAPI document: it is the console's own. `foreign`: of another
    service's protocol, whose clients send parameters that mean nothing here. `for_browsers`: a key that anybody can see
    may make the call, for the visitor of the request.
    """

    needs: KeyScope | None
    answers: Mapping[int, Any]
    tag: str
    query: type[Struct] | None = None
    body: Any = None
    parts: Sequence[Any] = ()
    headers: Sequence[Mapping[str, Any]] = ()
    documented: bool = True
    foreign: bool = False
    for_browsers: bool = False

    @property
    def is_own(self) -> bool:
        """Whether the call is of this service's API: it is under `/v1` too, and refuses unknown parameters. Probes and
        pages are not.
        """
        return self.needs is not None and self.documented and not self.foreign

    @property
    def is_personal(self) -> bool:
        """Whether it reads what is stored of users: no copy of its answers stays anywhere."""
        return self.needs in ("users", "operate")


def call(**described: Any) -> dict[str, Any]:
    """The `opt` of a handler: the fields of `Call`."""
    return {_OPT: Call(**described)}


def call_of(handler: BaseRouteHandler) -> Call:
    found: Call = handler.opt[_OPT]
    return found


def call_asked(scope: Scope) -> Call | None:
    """The call of this path and method; None for OPTIONS and for methods that the path does not take."""
    found: Call | None = scope["route_handler"].opt[CALLS].get(scope.get("method"))
    return found


def one_of(kinds: Sequence[type[Struct]], *, needs: str) -> Meta:
    """Describes a value that is one of these structs, which the field `needs` tells apart. msgspec has no union of
    tagged structs and another one.
    """
    refs = [{"$ref": REF.format(name=kind.__name__)} for kind in kinds]
    return Meta(extra_json_schema={"anyOf": refs, "required": [needs]})


def problems(*statuses: int) -> dict[int, Any]:
    return dict.fromkeys(statuses, Problem)


def query_of(scope: Scope, kind: type[_Q]) -> _Q:
    """The query string as a struct: unknown, repeated and bad parameters are `InvalidInput` with the parameter's name.

    A parameter whose type is a tuple may be given several times or with commas, one whose type is a frozenset several
    times. With a key for browsers, `user_id` is that of the visitor, and `OtherUser` if it is another one.
    """
    values, faults = values_of(scope, kind)
    if faults:
        raise InvalidInput(*faults, *_wrong(values, kind, {fault.path for fault in faults}))
    visitor = context_of(scope).visitor if _USER in kind.__struct_fields__ else None
    if visitor is not None:
        visitor.check(values.setdefault(_USER, visitor.user_id))
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(*(_wrong(values, kind) or [field_error_of(error, kind)])) from None


def values_of(scope: Scope, kind: type[Struct]) -> tuple[dict[str, Any], list[FieldError]]:
    """The values of the query by parameter, lists where the type is one, and what is wrong with their writing: with
    those that are given twice although theirs is not, and those that are not percent-encoded UTF-8.
    """
    values: dict[str, Any] = {}
    twice: dict[str, None] = {}
    faults: list[FieldError] = []
    with_commas, repeatable = _of_type(kind, tuple), _of_type(kind, frozenset)
    for name, value in _pairs(scope["query_string"], faults):
        if name in with_commas:
            values.setdefault(name, []).extend(part for part in value.split(",") if part)
        elif name in repeatable:
            values.setdefault(name, []).append(value)
        elif name in values:
            twice[name] = None
        else:
            values[name] = value
    return values, [*faults, *(FieldError(f"$.{name}", "given twice") for name in twice)]


def _wrong(values: Mapping[str, Any], kind: type[Struct], told: Collection[str] = ()) -> list[FieldError]:
    """The parameters that are missing, those that there are not, and those whose values are not of their types, without
    those at the paths that are `told`.
    """
    types = {field.encode_name: hints_of(kind)[field.name] for field in structs.fields(kind)}
    found = [
        FieldError("$", f"Object missing required field `{field.encode_name}`")
        for field in structs.fields(kind)
        if field.required and field.encode_name not in values and f"$.{field.encode_name}" not in told
    ]
    for name, value in values.items():
        if name not in types:
            found.append(FieldError(f"$.{name}", _no_such(name, sorted(types))))
            continue
        try:
            msgspec.convert(value, types[name], strict=False)
        except msgspec.ValidationError as error:
            fault = field_error_of(error, types[name])
            found.append(FieldError(f"$.{name}{fault.path.removeprefix('$')}", fault.message))
    return [fault for fault in found if fault.path not in told]


def _no_such(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)
    return f"no such parameter; did you mean {near[0]}?" if near else f"no such parameter; there are {', '.join(known)}"


def _pairs(query: bytes, faults: list[FieldError]) -> Iterable[tuple[str, str]]:
    """Names and values. What cannot be read goes to `faults`."""
    parts = [part.partition(b"=") for part in query.split(b"&") if part]
    if b"%" not in query and b"+" not in query and query.isascii():
        # Most queries have nothing to decode; this takes a fifth of the time.
        return [(name.decode(), value.decode()) for name, _, value in parts]
    pairs = [
        (read_noting(faults, _text, name, "query"), read_noting(faults, _text, value, name.decode("latin-1")))
        for name, _, value in parts
    ]
    return [(name, value) for name, value in pairs if name is not None and value is not None]


def _text(encoded: bytes, name: str) -> str:
    return percent.decode(encoded.replace(b"+", b" "), name)


@cache
def _of_type(kind: type[Struct], origin: type) -> frozenset[str]:
    return frozenset(name for name, hint in get_type_hints(kind).items() if get_origin(hint) is origin)
