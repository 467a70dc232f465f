"""uvicorn's HTTP/1.1 protocol with bounds: uvicorn limits neither the size of a request's head nor the time for it.

Everything that is not a body is counted as framing: the request line, headers, the heads of chunks with their
extensions, trailers, blank lines. A client may send so much of it at a time, and the parser sees no more than a slice
above that. What runs for every request costs a few hundred nanoseconds in all.
"""

import asyncio
import os
from http import HTTPStatus
from typing import Any, Final

import httptools
import msgspec
import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app import metrics
from app.http.connections import Connections
from app.http.cycle import cycle_of
from app.http.problem_codes import ProblemCode
from app.http.problems import MEDIA_TYPE, Problem
from app.http.watched_transport import WatchedTransport

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_URL_BYTES: Final = 48 * 1024  # room for a thousand ids of 36 characters to leave out of an answer
MAX_HEADERS: Final = 128
# The parser reads on to the end of a slice, and each whole request in it takes two kilobytes until it is answered. So
# slices are short wherever requests may follow each other: everywhere except in a body of a given length.
_SLICE_BYTES: Final = 1024
_BODY_SLICE_BYTES: Final = 16 * 1024
_MAX_UNREAD_BYTES: Final = 1024 * 1024

_BODY_HEADERS: Final = (b"content-length", b"transfer-encoding")
# By code, the reason in `reco_http_refused_total`.
_REASONS: Final = {
    ProblemCode.NOT_HTTP: "malformed",
    ProblemCode.SLOW_REQUEST: "late",
    ProblemCode.URL_TOO_LONG: "url_too_long",
    ProblemCode.HEAD_TOO_LARGE: "head_too_large",
}


class _Refused(Exception):
    """Ends the parser's work from within one of its callbacks."""

    def __init__(self, code: ProblemCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def _too_large() -> _Refused:
    return _Refused(
        ProblemCode.HEAD_TOO_LARGE,
        f"The head of the request has more than {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} headers.",
    )


class Config(uvicorn.Config):
    """uvicorn's configuration, with what its protocols share."""

    def __init__(self, app: Any, connections: Connections, **options: Any) -> None:
        super().__init__(app, **options)
        self.connections = connections


class _Flow(FlowControl):
    """uvicorn resumes reading when a handler asks for its body; while `held`, what is read already comes first."""

    held = False

    def resume_reading(self) -> None:
        if self.read_paused and not self.held:
            super().resume_reading()


class HttpProtocol(HttpToolsProtocol):
    """A connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._bounds = config.connections
        self._framing = 0  # bytes since the last head or the last byte of a body
        self._headed: object = None  # the scope of the last complete head
        self._body_left = 0  # bytes to come of a body whose length the head told
        self._unparsed = b""  # what follows more requests than are answered at a time
        self._refused = False
        self._unread = 0
        self.waits = False  # whether `Connections` knows that it waits for the client

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow: _Flow = _Flow(transport)
        self.transport = WatchedTransport(transport, lambda: self._bounds.wait_for(self))  # type: ignore[assignment]
        self._bounds.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._bounds.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            self._unread += len(data)
            if self._unread > _MAX_UNREAD_BYTES:
                self.abort()
            return
        if self._unparsed:
            self._unparsed += data
            return
        self._bounds.resume(self)
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        begin = 0
        while begin < len(data) and not self._refused:
            if self.pipeline:
                self._unparsed = data[begin:]
                self.flow.pause_reading()
                self.flow.held = True
                break
            end = begin + (_BODY_SLICE_BYTES if self._body_left >= _BODY_SLICE_BYTES else _SLICE_BYTES)
            self._parse_slice(data[begin:end])
            begin = end
        if self._in_head() or not self._has_request():
            self._bounds.wait_for(self)

    def _parse_slice(self, data: bytes) -> None:
        self._framing += len(data)
        try:
            self.parser.feed_data(data)
            if self._framing > MAX_HEAD_BYTES:
                raise _too_large()
            if self._in_head():
                self._check_head()
        except httptools.HttpParserUpgrade:
            # It is answered as any other request; what follows would be of the other protocol.
            self._refused, self.cycle.keep_alive = True, False
        except _Refused as refused:
            self.refuse(refused.code, refused.detail)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _Refused):
                self.refuse(error.__context__.code, error.__context__.detail)
            else:
                self.refuse(ProblemCode.NOT_HTTP, "The request is not HTTP/1.1.")

    def _in_head(self) -> bool:
        """Whether a request has begun and its head is not complete: each has a scope of its own from its first byte."""
        return self.scope is not self._headed

    def _check_head(self) -> None:
        if len(self.url) > MAX_URL_BYTES:
            raise _Refused(ProblemCode.URL_TOO_LONG, f"The URL is longer than {MAX_URL_BYTES} bytes.")
        if len(self.headers) > MAX_HEADERS:
            raise _too_large()

    def _head_bytes(self) -> int:
        """The complete head without its method and spaces, which are a few bytes."""
        return len(self.url) + sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.scope is self._headed:
            return  # a trailer: it comes after the access was decided, and tells the service nothing
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        elif name == b"content-length":
            self._body_left = int(value)  # the parser refuses anything but a number
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._check_head()
        if self._framing > MAX_HEAD_BYTES and self._head_bytes() > MAX_HEAD_BYTES:
            raise _too_large()  # its last slice ended it; what comes after the head is in that slice as well
        if self.parser.should_upgrade() and any(name in _BODY_HEADERS for name, _ in self.headers):
            raise _Refused(
                ProblemCode.NOT_HTTP, "The header Upgrade is not supported on a request with a body; leave it out."
            )
        if b"#" in self.url:
            # uvicorn would leave out the rest: of an id whose # is not encoded, the call would reach another.
            raise _Refused(ProblemCode.NOT_HTTP, "The URL has a fragment; write a # of an id as %23.")
        before, self.cycle = self.cycle, cycle_of(self)
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        self._framing = 0
        self._headed = self.scope
        if self.waits and not self.flow.write_paused:
            self._bounds.settle(self)

    def on_body(self, body: bytes) -> None:
        self._framing = 0
        self._body_left -= len(body)
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_response_complete(self) -> None:
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._bounds.rest(self)
        if not self.pipeline:
            if self.cycle.more_body:
                self._bounds.wait_for(self)  # the rest of the body
            if self._unparsed:
                self.loop.call_soon(self._parse_on)

    def _parse_on(self) -> None:
        data, self._unparsed = self._unparsed, b""
        if data and not self.transport.is_closing():
            self.flow.held = False
            self.flow.resume_reading()
            self._bounds.resume(self)
            self._parse(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._bounds.wait_for(self)  # the client does not read

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._refused or self.transport.is_closing():
            return
        self._bounds.settle(self)
        if self._in_head() or (not self._has_request() and self.cycle.more_body):
            self._bounds.wait_for(self)

    def _has_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def refuse(self, code: ProblemCode, detail: str, *, headers: bytes = b"") -> None:
        """Answers what cannot be parsed, and ends the connection once the client has read the answer."""
        if code in _REASONS:
            metrics.API_REFUSED.labels(_REASONS[code]).inc()
        self._refused = True
        self._bounds.wait_for(self)
        if self._has_request():
            if self._in_head() or not self.cycle.more_body:
                self.cycle.keep_alive = False  # the requests before it were whole, and are answered
                return
            if self.pipeline or self.cycle.response_started:
                self.abort()
                return
            self.cycle.disconnected = self.cycle.response_complete = True  # what its handler meets from now on
            self.cycle.message_event.set()
        self.transport.write(_answer(code, detail, headers))
        self.transport.write_eof()  # closing now would reset the connection under what the client still sends

    def end_late(self) -> None:
        """Ends a connection whose client kept it waiting."""
        if self._refused or self.flow.write_paused or self.transport.is_closing():
            self.abort()
        elif self._in_head():
            self.refuse(ProblemCode.SLOW_REQUEST, "The head of the request did not arrive in time.")
        else:
            self.transport.close()

    def abort(self) -> None:
        self._refused = True
        self.transport.abort()


def _answer(code: ProblemCode, detail: str, headers: bytes) -> bytes:
    status, title = code.status, HTTPStatus(code.status).phrase
    problem = Problem(title=title, status=status, code=code.word, detail=detail, request_id=os.urandom(16).hex())
    body = msgspec.json.encode(problem)
    return b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %d\r\n%sconnection: close\r\n\r\n%s" % (
        status,
        title.encode(),
        MEDIA_TYPE.encode(),
        len(body),
        headers,
        body,
    )
