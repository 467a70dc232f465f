"""A request and its answer: head and body of an answer of known length leave in one write.

uvicorn's own sends both apart, and looks through each name and value of a header.
"""

import asyncio
from typing import Any, Final
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

_LENGTH: Final = b"\r\ncontent-length: "
_CLOSE: Final = (b"connection", b"close")


class RequestCycle(RequestResponseCycle):
    """As uvicorn's. Names of headers are in lower case, as all of ours are."""

    _start: Any = None
    """The head of the answer, until its first bytes of a body come."""

    async def send(self, message: Any) -> None:
        start, self._start = self._start, None
        if message["type"] == "http.response.start" and not self.response_started:
            self._start = message
        elif start is None:
            await super().send(message)
        elif message.get("more_body") or not (head := self._head(start)):
            await super().send(start)
            await super().send(message)
        else:
            if self.flow.write_paused and not self.disconnected:
                await self.flow.drain()
            if not self.disconnected:
                self._answer(head, message["body"])

    def _head(self, start: Any) -> bytes:
        """Empty for an answer whose length its headers do not say."""
        headers = [*self.default_headers, *start["headers"]]
        if _CLOSE in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            headers.append(_CLOSE)
        lines = [b"%b: %b\r\n" % header for header in headers]
        head = b"%b%b\r\n" % (STATUS_LINE[start["status"]], b"".join(lines))
        if not head.count(b"\r") == head.count(b"\n") == len(lines) + 2:
            raise RuntimeError("a header of the answer has a line break")
        return head if _LENGTH in head else b""

    def _answer(self, head: bytes, body: bytes) -> None:
        self.response_started = self.response_complete = True
        self.transport.write(head if self.scope["method"] == "HEAD" else head + body)
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def cycle_of(connection: HttpToolsProtocol) -> RequestCycle:
    """Of the request whose head is complete. Raises `httptools.HttpParserInvalidURLError`."""
    scope, parser = connection.scope, connection.parser
    version = parser.get_http_version()
    scope["method"] = parser.get_method().decode("ascii")
    if version != "1.1":
        scope["http_version"] = version
    url = httptools.parse_url(connection.url)
    scope["raw_path"] = url.path
    scope["path"] = unquote(url.path.decode("ascii")) if b"%" in url.path else url.path.decode("ascii")
    scope["query_string"] = url.query or b""
    return RequestCycle(
        scope=scope,
        transport=connection.transport,
        flow=connection.flow,
        logger=connection.logger,
        access_logger=connection.access_logger,
        access_log=connection.access_log,
        default_headers=connection.server_state.default_headers,
        message_event=asyncio.Event(),
        expect_100_continue=connection.expect_100_continue,
        keep_alive=version != "1.0" and parser.should_keep_alive(),
        on_response=connection.on_response_complete,
    )
