"""A cheap client: keep-alive connections without tasks, answers parsed by httptools.

A connection has at most one request in flight. The loops decide when each sends the next one.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Final, cast

import httptools

from app.errors import describe
from app.load.requests import Endpoint

# (connection, status, body); status 0 when there was no answer, and the body says why.
Answered = Callable[["Connection", int, bytes], None]

_CONNECT_TIMEOUT_SEC: Final = 5.0


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection; made by `connect`."""

    __slots__ = ("_answered", "_body", "_closing", "_parser", "_transport", "busy", "closed", "sent_at", "token")

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        self._body = b""
        self._closing = False
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self.busy = False
        self.closed = False
        self.sent_at = 0.0
        self.token = 0

    def send(self, request: bytes, token: int) -> None:
        """Sends; the answer, or that there is none, comes to `answered`."""
        assert self._transport is not None
        self.busy = True
        self.token = token
        self.sent_at = time.perf_counter()
        self._transport.write(request)

    def abort(self, reason: str) -> None:
        """Closes the connection and drops the request in flight."""
        if self._transport is not None:
            self._transport.abort()
        self._end(reason.encode())

    def close(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.abort(f"not HTTP: {describe(error)}")

    def connection_lost(self, error: Exception | None) -> None:
        self._end(b"connection lost" + (f": {describe(error)}".encode() if error else b""))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        body, self._body = self._body, b""
        self.busy = False
        if not self._parser.should_keep_alive():
            self.closed = True
            self.close()
        self._answered(self, self._parser.get_status_code(), body)

    def _end(self, reason: bytes) -> None:
        self.closed = True
        if self.busy:
            self.busy = False
            if not self._closing:
                self._answered(self, 0, reason)


async def connect(endpoint: Endpoint, answered: Answered) -> Connection:
    """Raises OSError, also when it takes longer than 5 s."""
    async with asyncio.timeout(_CONNECT_TIMEOUT_SEC):
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(answered),
            endpoint.host,
            endpoint.port,
            ssl=ssl.create_default_context() if endpoint.tls else None,
        )
    return connection


class Caller:
    """Awaitable requests for polls and probes, not for load."""

    def __init__(self, endpoint: Endpoint, *, timeout_sec: float) -> None:
        self._endpoint = endpoint
        self._timeout_sec = timeout_sec
        self._idle: list[Connection] = []
        self._waiting: dict[Connection, asyncio.Future[tuple[int, bytes]]] = {}

    async def get(self, path: str) -> tuple[int, bytes]:
        """(status, body); status 0 and a reason when there was no answer in time."""
        try:
            connection = await self._connection()
        except OSError as error:
            return 0, f"cannot connect: {describe(error)}".encode()
        answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._waiting[connection] = answer
        connection.send(self._endpoint.head("GET", path), 0)
        try:
            async with asyncio.timeout(self._timeout_sec):
                return await answer
        except TimeoutError:
            return 0, b"timeout"
        finally:
            # After the answer the connection may serve another caller.
            if not answer.done() or answer.cancelled():
                self._waiting.pop(connection, None)
                connection.close()

    def close(self) -> None:
        for connection in [*self._idle, *self._waiting]:
            connection.close()

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return await connect(self._endpoint, self._answered)

    def _answered(self, connection: Connection, status: int, body: bytes) -> None:
        waiting = self._waiting.pop(connection, None)
        if waiting is not None and not waiting.done():
            waiting.set_result((status, body))
            if not connection.closed:
                self._idle.append(connection)
