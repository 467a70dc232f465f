"""A TCP proxy on loopback that can hold, delay, lose or cut what goes through it, at a byte that a test names."""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal
from urllib.parse import urlsplit

from app.devstack.ports import choose

Direction = Literal["request", "response"]

METADATA_REQUEST: Final = b"\x00\x03\x00"
"""Of Kafka's protocol: the key of the call, and the first byte of its version. A marker for `Proxy.trap`."""

_CHUNK: Final = 65_536
_START_SEC: Final = 10.0
_LAST_TURNS: Final = 5


class Proxy:
    """Between a client and one server. Its loop runs in a thread, so that synchronous tests can steer it.

    `ports`: connections lead to these one after the other, and all later ones to the last.
    """

    def __init__(self, host: str, *ports: int) -> None:
        self.port = choose()
        self._host, self._ports = host, list(ports)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._upstream: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._trap: tuple[Direction, bytes, bytes] | None = None
        self._delay_sec = 0.0
        self._release = asyncio.Event()
        self._server: asyncio.Server | None = None
        self.caught = threading.Event()

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(_START_SEC)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(_START_SEC)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_SEC)
        self._loop.close()

    def trap(self, marker: bytes, *, after: bytes = b"", direction: Direction = "request") -> None:
        """Holds a connection until `release` at the first chunk with `marker` once `after` has gone through it.

        Set it before the first use: the text of a statement passes once on each connection, which prepares it then.
        `caught` is set then. With direction `response` the answer to that chunk is held instead of the chunk.
        """
        self.caught.clear()
        self._release = asyncio.Event()
        self._trap = direction, marker, after

    def disarm(self) -> None:
        self._trap = None

    def release(self) -> None:
        """Lets through what the trap holds."""
        self._loop.call_soon_threadsafe(self._release.set)

    def delay(self, seconds: float) -> None:
        """Each answer comes so much later from now on."""
        self._delay_sec = seconds

    def black_hole(self) -> None:
        """Nothing gets through any more, and nobody is told."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def heal(self) -> None:
        """New connections get through; those of the time before stay dead without a word. The server is rid of them, as
        its keepalives would see to.
        """
        self._loop.call_soon_threadsafe(self._heal)

    def reset(self) -> None:
        """Cuts all connections with a RST."""
        self._loop.call_soon_threadsafe(self._reset)

    async def _listen(self) -> None:
        self._open.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        # What was just accepted comes in a later turn, and aborted transports close their sockets in one.
        for _ in range(_LAST_TURNS):
            self._reset()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Knows the connection before its task runs, which may be cancelled before."""
        self._writers.add(writer)
        task = self._loop.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    def _heal(self) -> None:
        if not self._open.is_set():
            for writer in self._upstream:
                writer.transport.abort()
            self._upstream.clear()
        self._open = asyncio.Event()
        self._open.set()

    def _reset(self) -> None:
        for writer in self._writers:
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.fileno() != -1:  # it may have ended, and its task not yet
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gate = self._open
        writers = {writer}
        port = self._ports.pop(0) if len(self._ports) > 1 else self._ports[0]
        try:
            await gate.wait()
            upstream_reader, upstream_writer = await asyncio.open_connection(self._host, port)
            writers.add(upstream_writer)
            self._writers.add(upstream_writer)
            self._upstream.add(upstream_writer)
            held = asyncio.Event()
            pipes = [
                asyncio.create_task(self._requests(reader, upstream_writer, gate, held)),
                asyncio.create_task(self._responses(upstream_reader, writer, gate, held)),
            ]
            try:
                await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pipe in pipes:
                    pipe.cancel()
        except (OSError, asyncio.CancelledError):
            pass  # the server is away or the proxy ends: the client is told by the end of its connection
        finally:
            self._writers -= writers
            self._upstream -= writers
            for end in writers:
                end.transport.abort()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event, held: asyncio.Event
    ) -> None:
        passed = b""
        while data := await self._read(reader):
            await gate.wait()
            passed = (passed + data)[-4 * _CHUNK :]
            if self._trap is not None:
                direction, marker, after = self._trap
                if marker in data and after in passed:
                    self._trap = None
                    held.set()
                    self.caught.set()
                    if direction == "request":
                        await self._release.wait()
            writer.write(data)

    async def _responses(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event, held: asyncio.Event
    ) -> None:
        while data := await self._read(reader):
            await gate.wait()
            if held.is_set():
                await self._release.wait()
            if self._delay_sec:
                await asyncio.sleep(self._delay_sec)
            writer.write(data)
        await gate.wait()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.read(_CHUNK)
        except OSError:
            return b""


@contextmanager
def proxied(host: str, *ports: int) -> Iterator[Proxy]:
    proxy = Proxy(host, *ports)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


@contextmanager
def proxied_url(url: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy before the server of this URL, and the URL that leads through it."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    with proxied(parts.hostname, parts.port) as proxy:
        netloc = parts.netloc.rsplit(":", 1)[0] + f":{proxy.port}"
        yield proxy, parts._replace(netloc=netloc).geturl()
