"""The only response class: bytes and a status, sent without the framework's headers, cookies and encoders."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, Receive, Scope, Send

JSON: Final = "application/json"

_WITHOUT_BODY: Final = frozenset({204, 304})
_encode: Final = msgspec.json.Encoder().encode

Headers = Sequence[tuple[bytes, bytes]]


class Reply:
    """An ASGI application that sends a body. Handlers return it where Litestar expects an `ASGIApp`."""

    __slots__ = ("body", "headers", "media_type", "status")

    def __init__(self, body: bytes, *, status: int = 200, media_type: str = JSON, headers: Headers = ()) -> None:
        self.body = body
        self.status = status
        self.media_type = media_type
        self.headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = list(self.headers)
        if self.status not in _WITHOUT_BODY:  # whose content length would be that of another answer (RFC 9110, 8.6)
            headers += [(b"content-length", b"%d" % len(self.body)), (b"content-type", self.media_type.encode())]
        start: HTTPResponseStartEvent = {"type": "http.response.start", "status": self.status, "headers": headers}
        await send(start)
        end: HTTPResponseBodyEvent = {"type": "http.response.body", "body": self.body, "more_body": False}
        await send(end)


def reply(body: Any, *, status: int = 200, headers: Headers = ()) -> Reply:
    """`body` as JSON."""
    return Reply(_encode(body), status=status, headers=headers)
