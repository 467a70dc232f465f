"""The Litestar application, put together from the routes that the role serves."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Final

import msgspec
from litestar import Litestar, route
from litestar.config.cors import CORSConfig
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Struct

from app.api import openapi, problems
from app.api.access import Access, guard
from app.api.context import with_context
from app.api.docs import Document
from app.api.responses import Reply

VERSION: Final = version("reco")

_CORS_MAX_AGE_SEC: Final = 600


def _never() -> bool:
    return False


class Options(Struct, frozen=True, kw_only=True):
    """`timeout_sec` is every request's deadline; while `draining`, answers ask clients to connect anew."""

    timeout_sec: float
    cors_allow_origins: Sequence[str] = ()
    access: Access = Access()
    draining: Callable[[], bool] = _never


def build(handlers: Sequence[HTTPRouteHandler], options: Options) -> ASGIApp:
    """The ASGI application. Litestar's own OpenAPI and logging are off: `openapi` and structlog do those."""
    document = Document()
    routes = [*handlers, *document.handlers()]
    access = options.access
    document.content = msgspec.json.encode(
        openapi.document(
            routes,
            version=VERSION,
            keys=access.keys is not None,
            limited=access.take is not None,
            key_in_query=access.query_paths,
        )
    )
    app = Litestar(
        # First those for OPTIONS: Litestar makes one of its own for a path that has none yet.
        route_handlers=[*_options(routes), *routes],
        exception_handlers=problems.HANDLERS,
        middleware=[guard(access)] if access.keys is not None or access.take is not None else [],
        openapi_config=None,
        logging_config=None,
        cors_config=_cors(options.cors_allow_origins),
        request_max_body_size=None,  # `read_body` has the bounds, which differ by call
    )
    return with_context(app, timeout_sec=options.timeout_sec, draining=options.draining, on_error=problems.render)


def _options(handlers: Sequence[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """OPTIONS for every path. Litestar's own names the methods of one handler, not of all at the path."""
    methods: dict[str, set[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            methods.setdefault(path, {"OPTIONS"}).update(map(str, handler.http_methods))
    return [_option(path, ", ".join(sorted(allowed))) for path, allowed in methods.items()]


def _option(path: str, allowed: str) -> HTTPRouteHandler:
    @route(path, http_method=["OPTIONS"], status_code=200, name=f"options {path}")
    async def options() -> ASGIApp:
        return Reply(b"", status=204, headers=[(b"allow", allowed.encode())])

    return options


def _cors(origins: Sequence[str]) -> CORSConfig | None:
    if not origins:
        return None
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=[
            "Authorization",
            "Content-Encoding",
            "Content-Type",
            "X-API-Key",
            "X-Autolog-Impressions",
            "X-Correlation-ID",
            "X-Request-ID",
            "traceparent",
        ],
        expose_headers=[
            "X-Request-ID",
            "X-Correlation-ID",
            "Retry-After",
            "RateLimit-Limit",
            "RateLimit-Remaining",
            "RateLimit-Reset",
        ],
        max_age=_CORS_MAX_AGE_SEC,
    )
