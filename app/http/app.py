"""Builds the Litestar application from the routes of the role."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Struct

from app.build import VERSION
from app.http import openapi, problems
from app.http.access import Access, guard, refuse_forms
from app.http.context import with_context
from app.http.docs import Document
from app.http.paths import Paths, with_exact_paths
from app.http.routes import routes
from app.http.schema import call_of
from app.http.shortcuts import with_shortcuts

_CORS_MAX_AGE_SEC: Final = 600


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
    all_handlers = [*handlers, *document.handlers()]
    access = options.access
    document.content = msgspec.json.encode(
        openapi.document(
            all_handlers,
            version=VERSION,
            keys=access.keys is not None,
            examples=options.examples,
            key_in_query=access.query_paths,
        )
    )
    all_routes = routes(all_handlers)
    guards = [guard(access)] if access.keys is not None or access.take is not None else []
    if access.keys is None:
        guards.append(refuse_forms)
    app: ASGIApp = Litestar(
        route_handlers=all_routes,
        exception_handlers=problems.HANDLERS,
        middleware=guards,
        openapi_config=None,
        logging_config=None,
        cors_config=_cors(options.cors_allow_origins),
        request_max_body_size=None,  # `read_body` has the bounds, which differ by call
    )
    paths = [path for handler in all_handlers for path in handler.paths]
    if not options.cors_allow_origins:
        app = with_shortcuts(app, [route for route in all_routes if not route.paths.isdisjoint(paths)], guards)
    own = [path for handler in all_handlers if call_of(handler).is_own for path in handler.paths]
    exact = with_exact_paths(app, Paths(paths, versioned=own))
    return with_context(exact, timeout_sec=options.timeout_sec, draining=options.draining, on_error=problems.render)


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
            "X-User-Token",
            "X-Visitor-ID",
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
