"""An HTTP server on loopback that answers as a test scripts it: well, badly, late or not at all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from app.load.requests import Endpoint


class Request(NamedTuple):
    """`number` counts from 1 over all connections; `head` ends with the empty line."""

    number: int
    head: bytes

    @property
    def target(self) -> str:
        return self.head.split()[1].decode()


Handler = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Calls `handler(request, writer)` for each request head it reads; the handler writes the answer, or does not."""

    def __init__(self, handler: Handler) -> None:
        self.requests = 0
        self.connections = 0
        self._handler = handler
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._serving[asyncio.ensure_future(self._serve(reader, writer))] = writer

    async def close(self) -> None:
        for writer in self._serving.values():
            writer.transport.abort()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                await self._handler(Request(self.requests, head), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[tuple[Server, Endpoint]]:
    """A server on loopback and its address; nothing of it is left afterwards."""
    server = Server(handler)
    async with await asyncio.start_server(server.connected, "127.0.0.1", 0) as listener:
        yield server, Endpoint("127.0.0.1", listener.sockets[0].getsockname()[1])
        listener.close()
        await server.close()
