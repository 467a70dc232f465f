"""The end of a drain: which connections the server still answers, and which it closes."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest

from app.http import server
from app.http.drain import close_silent
from app.http.listener import bind
from app.http.protocol import HttpProtocol
from app.supervisor import Progress
from tests.support.pipeline import until

# A client that is slow to send: the length is the fault.
_SILENCE_SEC = 0.5
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-length", b"2")]
    if scope["query_string"] != b"kept":
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.parametrize("sent_before", [0, 1, len(REQUEST) - 1], ids=["new", "first byte", "all but one byte"])
async def test_request_begun_before_the_listener_closed_is_answered(sent_before: int) -> None:
    stop = asyncio.Event()
    with bind("127.0.0.1", 0, reuse_port=False) as listener:
        serving = asyncio.create_task(server.serve(app, listener, stop, Progress(), grace_sec=10.0, drain_sec=20.0))

        async def no_longer_listens() -> bool:
            return listener.fileno() == -1

        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(REQUEST[:sent_before])
        stop.set()
        await until(no_longer_listens)
        await asyncio.sleep(_SILENCE_SEC)
        writer.write(REQUEST[sent_before:])
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        await serving
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"ok")


async def test_idle_kept_connection_is_closed() -> None:
    stop = asyncio.Event()
    with bind("127.0.0.1", 0, reuse_port=False) as listener:
        serving = asyncio.create_task(server.serve(app, listener, stop, Progress(), grace_sec=10.0, drain_sec=20.0))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(REQUEST.replace(b" / ", b" /?kept "))
        assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200 OK")
        stop.set()
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
        await serving


class Remembered(HttpProtocol):
    """Keeps the connections that the server has accepted."""

    accepted: ClassVar[list[HttpProtocol]] = []

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.accepted.append(self)


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[HttpProtocol, socket.socket]]:
    """A connection as the server and as its client has it, without a request so far."""
    Remembered.accepted.clear()

    async def has_accepted() -> bool:
        return bool(Remembered.accepted)

    stop = asyncio.Event()
    with bind("127.0.0.1", 0, reuse_port=False) as listener, socket.socket() as client:
        serving = asyncio.create_task(
            server.serve(app, listener, stop, Progress(), grace_sec=0.0, drain_sec=20.0, protocol=Remembered)
        )
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, listener.getsockname())
        await until(has_accepted)
        yield Remembered.accepted[0], client
        stop.set()
        await serving


async def test_request_that_is_not_read_yet_is_answered() -> None:
    async with connected() as (connection, client):
        # Without an await between the two, the event loop does not read before the drain looks.
        client.send(REQUEST)
        await close_silent({connection}, new_sec=0.0, timeout_sec=20.0)
        assert (await asyncio.get_running_loop().sock_recv(client, 1000)).startswith(b"HTTP/1.1 200 OK")


async def test_client_of_a_connection_that_was_found_idle_sees_its_end_at_once() -> None:
    async with connected() as (connection, client):
        await close_silent({connection}, new_sec=0.0, timeout_sec=20.0)
        # The loop has not turned, so that the transport has not closed its socket. A pool that looks now must know.
        assert client.recv(1) == b""


async def test_answer_of_this_turn_is_sent_before_its_connection_ends() -> None:
    async with connected() as (connection, client):
        client.send(REQUEST.replace(b" / ", b" /?kept "))
        while connection.cycle is None or not connection.cycle.response_complete:
            await asyncio.sleep(0)
        # The answer waits for the loop's next turn.
        await close_silent({connection}, new_sec=0.0, timeout_sec=20.0)
        assert (await asyncio.get_running_loop().sock_recv(client, 1000)).endswith(b"ok")


async def test_a_process_that_still_starts_takes_no_connection_of_those_who_share_its_port() -> None:
    stop = asyncio.Event()
    with bind("127.0.0.1", 0, reuse_port=True) as serving_one:
        host, port = serving_one.getsockname()
        serving = asyncio.create_task(server.serve(app, serving_one, stop, Progress(), grace_sec=0.1, drain_sec=5.0))
        await until(lambda: connects(host, port))
        with bind(host, port, reuse_port=True):
            for _ in range(50):
                async with asyncio.timeout(10.0):
                    reader, writer = await asyncio.open_connection(host, port)
                    writer.write(REQUEST)
                    assert (await reader.read()).endswith(b"ok")
                    writer.close()
            stop.set()
            await serving
            assert not await connects(host, port)


async def test_a_port_of_its_own_lets_clients_wait_for_the_start() -> None:
    with bind("127.0.0.1", 0, reuse_port=False) as listener:
        assert await connects(*listener.getsockname())


async def connects(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True
