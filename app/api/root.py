"""The root path, which points to the documentation."""

from typing import Final

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope
from msgspec import Struct

from app.http import schema
from app.http.responses import reply

# Relative, so that it also works behind a proxy that serves this under a prefix.
_LOCATION: Final = b"docs"


class Pointer(Struct, kw_only=True):
    """Where the documentation and the OpenAPI document are."""

    service: str
    docs: str
    openapi: str


POINTER: Final = Pointer(service="reco", docs="/docs", openapi="/openapi.json")


def handlers() -> list[HTTPRouteHandler]:
    @get("/", opt=schema.call(needs=None, tag="operations", answers={307: Pointer}))
    async def root(scope: Scope) -> ASGIApp:
        """Points to the documentation. A browser follows the redirect; the body names both addresses."""
        return reply(POINTER, status=307, headers=[(b"location", _LOCATION)])

    return [root]
