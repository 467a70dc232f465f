"""Builds the Litestar application from the routes of the role."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Struct

from app.build import VERSION
from app.http import openapi, problems
from app.http.access import Access, guard, refuse_forms
from app.http.context import with_context
from app.http.cors import with_cors
from app.http.docs import Document
from app.http.paths import Paths, with_exact_paths
from app.http.routes import routes
from app.http.schema import call_of
from app.http.shortcuts import with_shortcuts


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
        request_max_body_size=None,  # `read_body` has the bounds, which differ by call
    )
    paths = [path for handler in all_handlers for path in handler.paths]
    app = with_shortcuts(app, [route for route in all_routes if not route.paths.isdisjoint(paths)], guards)
    own = [path for handler in all_handlers if call_of(handler).is_own for path in handler.paths]
    exact = with_exact_paths(app, Paths(paths, versioned=own))
    return with_context(
        with_cors(exact, options.cors_allow_origins),
        timeout_sec=options.timeout_sec,
        draining=options.draining,
        on_error=problems.render,
    )
