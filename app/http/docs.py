"""The OpenAPI document, and a page that shows it and loads nothing from other hosts."""

from pathlib import Path
from typing import Any, Final

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from app.http import schema
from app.http.responses import Reply

_PAGE: Final = Path(__file__).with_name("docs.html").read_bytes()
_SAFE: Final = (
    (b"content-security-policy", b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'"),
    (b"x-content-type-options", b"nosniff"),
)


class Document:
    """Serves the document, which is set once all routes are known, since it describes itself too."""

    def __init__(self) -> None:
        self.content = b""

    def handlers(self) -> list[HTTPRouteHandler]:
        @get("/openapi.json", opt=schema.call(needs=None, tag="operations", answers={200: dict[str, Any]}))
        async def openapi() -> ASGIApp:
            """This document."""
            return Reply(self.content)

        @get("/docs", opt=schema.call(needs=None, tag="operations", answers={200: "text/html"}))
        async def docs() -> ASGIApp:
            """The document as a page."""
            return Reply(_PAGE, media_type="text/html; charset=utf-8", headers=_SAFE)

        return [openapi, docs]
