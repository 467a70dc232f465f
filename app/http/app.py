"""Builds the Litestar application from the routes of the role."""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any, Final

import msgspec
from litestar import Litestar, Request, asgi, route
from litestar.config.cors import CORSConfig
from litestar.exceptions import MethodNotAllowedException
from litestar.handlers import ASGIRouteHandler, BaseRouteHandler, HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from app.build import VERSION
from app.http import openapi, problems
from app.http.access import Access, guard
from app.http.context import with_context
from app.http.docs import Document
from app.http.paths import routed, with_exact_paths
from app.http.responses import Reply
from app.http.schema import call_of

_CORS_MAX_AGE_SEC: Final = 600
# Parameters with which a handler can be called without Litestar's signatures, and how to make them of ASGI's arguments.
_Taken = Callable[[Scope, Receive, Send], object]
_RAW: Final[dict[tuple[str, ...], _Taken]] = {
    ("request",): Request,
    ("scope",): lambda scope, *_: scope,
}


class Options(Struct, frozen=True, kw_only=True):
    """`timeout_sec` is every request's deadline; while `draining`, answers ask clients to reconnect.

    `examples`: by type, for the OpenAPI document.
    """

    timeout_sec: float
    draining: Callable[[], bool]
    cors_allow_origins: Sequence[str] = ()
    access: Access = Access()
    examples: Mapping[type, Any] = {}


def build(handlers: Sequence[HTTPRouteHandler], options: Options) -> ASGIApp:
    """The ASGI application. Litestar's OpenAPI and logging are off: `openapi` and structlog replace them."""
    document = Document()
    routes = [*handlers, *document.handlers()]
    access = options.access
    document.content = msgspec.json.encode(
        openapi.document(
            routes,
            version=VERSION,
            keys=access.keys is not None,
            examples=options.examples,
            key_in_query=access.query_paths,
        )
    )
    paths = [path for handler in routes for path in handler.paths]
    app = Litestar(
        route_handlers=_routes(routes),
        exception_handlers=problems.HANDLERS,
        middleware=[guard(access)] if access.keys is not None or access.take is not None else [],
        openapi_config=None,
        logging_config=None,
        cors_config=_cors(options.cors_allow_origins),
        request_max_body_size=None,  # `read_body` has the bounds, which differ by call
    )
    exact = with_exact_paths(app, paths)
    return with_context(exact, timeout_sec=options.timeout_sec, draining=options.draining, on_error=problems.render)


def _routes(handlers: Sequence[HTTPRouteHandler]) -> list[BaseRouteHandler]:
    """The handlers, plus OPTIONS for every path: Litestar's own OPTIONS names the methods of only one handler.

    Litestar knows plain paths alone: it would take `/users/-/recent` for a user named `-/recent`.

    Every handler of GET also answers HEAD; uvicorn leaves the body out.
    """
    by_path: dict[str, list[HTTPRouteHandler]] = {}
    for handler in handlers:
        if "GET" in handler.http_methods:
            handler.http_methods = {*handler.http_methods, "HEAD"}
        handler.paths = set(map(routed, handler.paths))
        for path in handler.paths:
            by_path.setdefault(path, []).append(handler)
    # OPTIONS handlers come first: Litestar adds its own to a path without one.
    options: list[BaseRouteHandler] = []
    found: dict[int, BaseRouteHandler] = {}
    for path, at_path in by_path.items():
        methods = sorted({"OPTIONS"}.union(*(map(str, handler.http_methods) for handler in at_path)))
        allowed = Reply(b"", status=204, headers=[(b"allow", ", ".join(methods).encode())])
        if _may_be_straight(at_path):
            found[id(at_path[0])] = _straight(at_path, path, methods, allowed)
        else:
            options.append(_option(path, allowed))
            found |= {id(handler): handler for handler in at_path}
    return [*options, *found.values()]


def _option(path: str, allowed: Reply) -> HTTPRouteHandler:
    @route(path, http_method=["OPTIONS"], status_code=200, name=f"options {path}")
    async def options() -> ASGIApp:
        return allowed

    return options


def _may_be_straight(handlers: Sequence[HTTPRouteHandler]) -> bool:
    """Whether these handlers of one path are at no other, take only the request or the scope, and need the same key:
    the guard sees one route.
    """
    calls = [call_of(handler) for handler in handlers]
    return (
        len({None if call is None else (call.needs,) for call in calls}) == 1
        and all(len(handler.paths) == 1 for handler in handlers)
        and all(_parameters(handler) in _RAW for handler in handlers)
    )


def _parameters(handler: HTTPRouteHandler) -> tuple[str, ...]:
    return tuple(signature(handler.fn).parameters)


def _straight(
    handlers: Sequence[HTTPRouteHandler], path: str, methods: Sequence[str], allowed: Reply
) -> ASGIRouteHandler:
    """Calls handlers without Litestar's steps between route and handler: signatures, dependencies, response types.

    Those steps are a tenth of a call's time.
    """
    answers = {
        str(method): (handler.fn, _RAW[_parameters(handler)]) for handler in handlers for method in handler.http_methods
    }

    @asgi(path, opt=handlers[0].opt, name=handlers[0].name, copy_scope=False)
    async def straight(scope: Scope, receive: Receive, send: Send) -> None:
        asked = str(scope.get("method"))
        if asked in answers:
            answer_with, taken = answers[asked]
            answer = await answer_with(taken(scope, receive, send))
        elif asked == "OPTIONS":
            answer = allowed
        else:
            raise MethodNotAllowedException(headers={"allow": ", ".join(methods)})
        await answer(scope, receive, send)

    return straight


def _cors(origins: Sequence[str]) -> CORSConfig | None:
    if not origins:
        return None
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=[
            "Authorization",
            "Content-Encoding",
            "Content-Type",
            "If-Match",
            "If-None-Match",
            "X-API-Key",
            "X-Autolog-Impressions",
            "X-Correlation-ID",
            "X-Request-ID",
            "traceparent",
            "tracestate",
        ],
        expose_headers=[
            "ETag",
            "Date",  # by which a browser's client corrects its clock
            "X-Request-ID",
            "X-Correlation-ID",
            "Retry-After",
            "RateLimit-Limit",
            "RateLimit-Remaining",
            "RateLimit-Reset",
        ],
        max_age=_CORS_MAX_AGE_SEC,
    )
