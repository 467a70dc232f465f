"""One route for each path, which calls the handler of the method without Litestar's steps between route and handler.

Those steps (signatures, dependencies, response types) are a tenth of a call's time.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from inspect import signature
from typing import Any, Final

from litestar import Request, asgi
from litestar.exceptions import MethodNotAllowedException
from litestar.handlers import ASGIRouteHandler, HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from app.core.decoding import InvalidInput, read_noting
from app.core.field_errors import FieldError
from app.core.visitors import OtherUser
from app.http.context import context_of
from app.http.etags import NOT_KEPT, as_read
from app.http.flags import flag_faults
from app.http.packing import packed
from app.http.path_ids import named_in_path, path_faults
from app.http.paths import routed
from app.http.responses import Reply
from app.http.schema import CALLS, Call, call_of, query_of

_READS: Final = frozenset({"GET", "HEAD"})

_Answer = Callable[[Scope, Receive, Send], Awaitable[ASGIApp]]

# By the names of a handler's parameters.
_CALLED_WITH: Final[dict[tuple[str, ...], Callable[[Any], _Answer]]] = {
    ("request",): lambda handle: lambda scope, receive, send: handle(Request(scope, receive, send)),
    ("scope",): lambda handle: lambda scope, *_: handle(scope),
    (): lambda handle: lambda *_: handle(),
}


def routes(handlers: Sequence[HTTPRouteHandler]) -> list[ASGIRouteHandler]:
    """Every path also answers OPTIONS, and HEAD where it answers GET; uvicorn leaves the body out.

    Litestar gets plain paths alone: it would take `/users/-/recent` for a user named `-/recent`.
    """
    by_path: dict[str, list[HTTPRouteHandler]] = {}
    for handler in handlers:
        for path in map(routed, handler.paths):
            by_path.setdefault(path, []).append(handler)
    return [_route(path, at_path) for path, at_path in by_path.items()]


def _route(path: str, handlers: Sequence[HTTPRouteHandler]) -> ASGIRouteHandler:
    by_method = {str(method): handler for handler in handlers for method in handler.http_methods}
    if "GET" in by_method:
        by_method["HEAD"] = by_method["GET"]
    methods = ", ".join(sorted({"OPTIONS", *by_method}))
    allowed = Reply(b"", status=204, headers=[(b"allow", methods.encode())])
    calls = {method: call_of(handler) for method, handler in by_method.items()}
    answers = {method: _answering(handler) for method, handler in by_method.items()}
    reads = {method: call for method, call in calls.items() if method in _READS and call.is_own}
    takes_none = {method for method, call in calls.items() if call.query is None and call.is_own}

    @asgi(path, opt={CALLS: calls}, name=path, copy_scope=False)
    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        asked = str(scope.get("method"))
        if asked in answers:
            try:
                if scope["query_string"] and asked in takes_none:
                    raise _no_parameters(scope)
                answer = await answers[asked](scope, receive, send)
            except InvalidInput as error:
                raise _with_faults_of_the_head(error, scope, calls[asked]) from None
            if isinstance(answer, Reply):
                answer = _as_asked(answer, context_of(scope).headers, reads.get(asked))
        elif asked == "OPTIONS":
            answer = allowed
        else:
            raise MethodNotAllowedException(headers={"allow": methods})
        await answer(scope, receive, send)

    return route


def _as_asked(answer: Reply, headers: Mapping[bytes, bytes], read: Call | None) -> Reply:
    """`read`: the call, where a client reads by it and may keep what it reads."""
    if read is not None and answer.status == HTTPStatus.OK:
        if read.is_personal:
            answer.headers = (*answer.headers, NOT_KEPT)
        else:
            answer = as_read(answer, headers)
    return packed(answer, headers)


def _answering(handler: HTTPRouteHandler) -> _Answer:
    return _CALLED_WITH[tuple(signature(handler.fn).parameters)](handler.fn)


def _with_faults_of_the_head(error: InvalidInput, scope: Scope, call: Call) -> InvalidInput:
    """With what is wrong with the ids in the path, the headers and the query, so that one answer tells all of it."""
    if error.malformed or isinstance(error, OtherUser):
        return error
    named = {fault.path for fault in error.field_errors}
    head = [*path_faults(scope), *flag_faults(scope, call.headers)]
    if call.query is not None:
        read_noting(head, query_of, scope, call.query)
    return InvalidInput(*(fault for fault in head if fault.path not in named), *error.field_errors)


def _no_parameters(scope: Scope) -> InvalidInput:
    """A query behind an id may be the rest of that id, whose question mark the client has not encoded."""
    name = named_in_path(scope)
    if name is None:
        return InvalidInput(FieldError("$", "this call has no parameters; leave out what stands behind the ?"))
    return InvalidInput(FieldError(f"$.{name}", "this call has no parameters; write a ? of an id as %3F"))
