"""The Litestar application, put together from the routes that the role serves."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

import msgspec
from litestar import Litestar, Response, get
from litestar.config.cors import CORSConfig
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from app.api import problems, schema
from app.api.context import with_context

VERSION: Final = version("reco")


def build(handlers: Sequence[HTTPRouteHandler], *, cors_allow_origins: Sequence[str] = ()) -> ASGIApp:
    """The ASGI application. Litestar's own OpenAPI and logging are off: `schema` and structlog do those."""

    @get("/openapi.json", opt=schema.call(answers={200: dict[str, Any]}), sync_to_thread=False)
    def openapi() -> Response[bytes]:
        """This document."""
        return Response(description, media_type="application/json")

    routes = [*handlers, openapi]
    description = msgspec.json.encode(schema.document(routes, version=VERSION))
    cors = CORSConfig(allow_origins=list(cors_allow_origins)) if cors_allow_origins else None
    app = Litestar(
        route_handlers=routes,
        exception_handlers=problems.HANDLERS,
        openapi_config=None,
        logging_config=None,
        cors_config=cors,
    )
    return with_context(app)
