"""The console's files. They come from the package, and the page loads nothing from other hosts but items' pictures."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope

from app.http import schema
from app.http.context import context_of
from app.http.responses import Reply

_FOLDER: Final = Path(__file__).with_name("static")
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".mjs": "text/javascript", ".svg": "image/svg+xml"}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_SAFE: Final = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


def handlers() -> list[HTTPRouteHandler]:
    return [
        _serving("/console", _FOLDER / "index.html", "text/html"),
        *(_serving(f"/console/{path.relative_to(_FOLDER)}", path, _TYPES[path.suffix]) for path in _assets()),
    ]


def _assets() -> Iterator[Path]:
    return (path for path in sorted(_FOLDER.rglob("*")) if path.suffix in _TYPES)


def _serving(route: str, path: Path, media_type: str) -> HTTPRouteHandler:
    content = path.read_bytes()
    tag = b'"' + hashlib.sha256(content).hexdigest()[:32].encode() + b'"'
    # A browser asks each time whether it has changed: a page of two releases would be wrong.
    headers = (*_SAFE, (b"etag", tag), (b"cache-control", b"no-cache"))
    whole = Reply(content, media_type=f"{media_type}; charset=utf-8", headers=headers)
    unchanged = Reply(b"", status=304, headers=headers)

    @get(route, name=route, opt=schema.call(needs=None, tag="operations", answers={200: media_type}, documented=False))
    async def console_file(scope: Scope) -> ASGIApp:
        return unchanged if context_of(scope).headers.get(b"if-none-match") == tag else whole

    return console_file
