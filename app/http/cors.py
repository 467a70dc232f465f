"""What pages of other origins may do (the CORS protocol of https://fetch.spec.whatwg.org).

It comes before all else that answers, so that a page can read every error: of a path that is not there, of a request
that was too slow.
"""

import re
from collections.abc import Sequence
from typing import Final

from litestar.types import ASGIApp, Receive, Scope, Send

from app.http.context import context_of
from app.http.responses import Headers, Reply

_MAX_AGE_SEC: Final = 600
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_REQUEST_HEADERS: Final = (
    "Accept",
    "Accept-Language",
    "Authorization",
    "Content-Encoding",
    "Content-Language",
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
)
_ANSWER_HEADERS: Final = (
    "ETag",
    "Date",  # by which a browser's client corrects its clock
    "X-Request-ID",
    "X-Correlation-ID",
    "Retry-After",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
)
_ANY: Final = "*"
_KNOWN_METHODS: Final = frozenset(_METHODS)
_KNOWN_HEADERS: Final = frozenset(map(str.lower, _REQUEST_HEADERS))
_EXPOSED: Final = (b"access-control-expose-headers", ", ".join(_ANSWER_HEADERS).encode())
_PREFLIGHT: Final = (
    (b"access-control-allow-methods", ", ".join(_METHODS).encode()),
    (b"access-control-allow-headers", ", ".join(_REQUEST_HEADERS).encode()),
    (b"access-control-max-age", b"%d" % _MAX_AGE_SEC),
)


def with_cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """`origins`: those that may call, where `*` stands for any text. Without origins none may."""
    if not origins:
        return app
    allowed = re.compile("|".join(re.escape(origin).replace(re.escape(_ANY), ".*") for origin in origins))
    any_origin = _ANY in origins

    def named(origin: bytes) -> Headers:
        """What every answer to this origin says; the answer to another origin would be another one."""
        if any_origin:
            return [(b"access-control-allow-origin", b"*"), _EXPOSED]
        vary = (b"vary", b"origin")
        if allowed.fullmatch(origin.decode("latin-1")) is None:
            return [vary]
        return [(b"access-control-allow-origin", origin), _EXPOSED, vary]

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        origin = context.headers.get(b"origin")
        if origin is None:
            await app(scope, receive, send)
            return
        about_origin = named(origin)
        context.reply_headers += about_origin
        method = context.headers.get(b"access-control-request-method")
        if scope.get("method") != "OPTIONS" or method is None:
            await app(scope, receive, send)
            return
        refused = [] if len(about_origin) > 1 else [f"the origin {origin.decode('latin-1')}"]
        refused += _refused(method.decode("latin-1"), context.headers.get(b"access-control-request-headers", b""))
        if refused:
            text = f"Pages may not use {', '.join(refused)}.".encode()
            await Reply(text, status=400, media_type="text/plain; charset=utf-8")(scope, receive, send)
        else:
            await Reply(b"", status=204, headers=_PREFLIGHT)(scope, receive, send)

    return answered


def _refused(method: str, asked_headers: bytes) -> list[str]:
    """What a page asks for and may not use."""
    names = [name.strip() for name in asked_headers.decode("latin-1").split(",")]
    found = [] if method in _KNOWN_METHODS else [f"the method {method}"]
    return found + [f"the header {name}" for name in names if name and name.lower() not in _KNOWN_HEADERS]
