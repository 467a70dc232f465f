"""What a client may send before it has a request, and how long it may take."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.http import connections, server
from app.http.listener import bind
from app.http.protocol import MAX_HEAD_BYTES, MAX_HEADERS, MAX_URL_BYTES
from app.supervisor import Progress

REQUEST = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"POST / HTTP/1.1\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the path, the headers and the body that it got; /early at once, /held and /taken never."""
    body, more = b"", scope["path"] not in ("/early", "/held")
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message.get("body", b""), message.get("more_body", False)
    if scope["path"] in ("/held", "/taken"):
        await asyncio.Event().wait()
    names = sorted({name.decode() for name, _ in scope["headers"]})
    answer = json.dumps([scope["path"], names, body.decode()]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[str, int]]:
    stop = asyncio.Event()
    with bind("127.0.0.1", 0, reuse_port=False) as listener:
        address = listener.getsockname()
        task = asyncio.create_task(
            server.serve(app, listener, stop, Progress(), grace_sec=0.0, drain_sec=2.0, **options)
        )
        try:
            yield address
        finally:
            stop.set()
            await task


async def answer_to(address: tuple[str, int], *parts: bytes) -> bytes:
    """Everything that the server sends until it ends the connection."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


LAST = b"GET /last HTTP/1.1\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES, 431),
        (b"GET / HTTP/1.1\r\n" + b"x" * MAX_HEAD_BYTES, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n", 431),  # its last slice ends it
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * (MAX_HEADERS + 1) + b"\r\n", 431),
        (b"GET /" + b"x" * MAX_URL_BYTES, 414),
        (b"GET /?" + b"x" * MAX_URL_BYTES + b" HTTP/1.1\r\n\r\n", 414),
        (b"\r\n" * MAX_HEAD_BYTES, 431),
        (CHUNKED + b"1;" + b"x" * 2 * MAX_HEAD_BYTES, 431),
        (CHUNKED + b"0\r\nX: " + b"x" * 2 * MAX_HEAD_BYTES, 431),
        (CHUNKED + b"0\r\n" + b"X: y\r\n" * MAX_HEAD_BYTES, 431),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"CONNECT x:1 HTTP/1.1\r\n\r\n", 400),
        (CHUNKED + b"x\r\n", 400),
    ],
)
async def test_head_without_an_end_is_refused_with_a_problem(request_: bytes, status: int) -> None:
    async with serving() as address:
        head, _, body = (await answer_to(address, request_)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"content-type: application/problem+json" in head
    assert json.loads(body)["status"] == status


@pytest.mark.parametrize("size", [1, 3, 1000, 100_000])
async def test_requests_of_the_greatest_size_are_answered_however_they_are_cut(size: int) -> None:
    big = b"GET /a?" + b"x" * (MAX_URL_BYTES - 10) + b" HTTP/1.1\r\nX: " + b"x" * 10_000 + b"\r\n\r\n"
    many = b"GET /b HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(MAX_HEADERS)) + b"\r\n"
    chunked = CHUNKED + b"".join(b"1;a=b\r\n%d\r\n" % (n % 10) for n in range(20_000)) + b"0\r\n\r\n"
    sent = (b"" if size < 1000 else big + chunked) + many + LAST
    async with serving() as address:
        received = await answer_to(address, *(sent[at : at + size] for at in range(0, len(sent), size)))
    assert received.count(b"HTTP/1.1 200 OK") == (2 if size < 1000 else 4)
    assert b'["/last"' in received


async def test_trailers_are_no_headers_of_this_request_or_the_next() -> None:
    async with serving() as address:
        received = await answer_to(address, CHUNKED + b"0\r\nX-API-Key: secret\r\nExpect: 100-continue\r\n\r\n" + LAST)
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert b"x-api-key" not in received
    assert b"100 Continue" not in received


async def test_more_requests_than_are_answered_at_a_time_are_all_answered_in_order() -> None:
    async with serving() as address:
        received = await answer_to(address, b"".join(REQUEST % number for number in range(20_000)) + LAST)
    assert received.count(b"HTTP/1.1 200 OK") == 20_001
    places = [received.index(b'["/%d"' % number) for number in range(0, 20_000, 1000)]
    assert places == sorted(places)


async def test_requests_behind_one_that_takes_long_are_not_read_without_end() -> None:
    taken = b"POST /taken HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"
    flood = REQUEST % 1 * 10_000
    sent = refused = 0
    async with serving() as address:
        with socket.create_connection(address, timeout=20) as client:
            client.setblocking(False)
            client.send(taken)
            while refused < 20 and sent < 50_000_000:
                try:
                    sent += client.send(flood)
                    refused = 0
                except BlockingIOError:
                    refused += 1
                    await asyncio.sleep(0.05)
    assert sent < 20_000_000


async def test_request_for_an_upgrade_is_answered_and_what_follows_is_not() -> None:
    upgrade = b"GET /up HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    async with serving() as address:
        received = await answer_to(address, upgrade + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + LAST)
    assert received.count(b"HTTP/1.1 ") == received.count(b"HTTP/1.1 200 OK") == 1


async def test_request_for_an_upgrade_that_has_a_body_is_told_what_to_leave_out() -> None:
    upgrade = b"POST /up HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\nbody"
    async with serving() as address:
        received = await answer_to(address, upgrade + LAST)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"The header Upgrade is not supported" in received


async def test_whole_requests_before_a_broken_one_are_answered() -> None:
    async with serving() as address:
        received = await answer_to(address, REQUEST % 1 + REQUEST % 2 + b"nonsense\r\n\r\n")
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert b" 400 " not in received


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", b""),
        (b"G", b"HTTP/1.1 408 "),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"HTTP/1.1 408 "),
        (b"\r\n", b""),
        (REQUEST % 1 + b"GET /2", b"HTTP/1.1 200 "),
        (b"POST /early HTTP/1.1\r\nContent-Length: 10\r\n\r\n12345", b"HTTP/1.1 200 "),
    ],
    ids=["silent", "first byte", "head", "blank line", "second head", "body after its answer"],
)
async def test_connection_that_waits_for_its_client_ends(
    monkeypatch: pytest.MonkeyPatch, sent: bytes, status: bytes
) -> None:
    monkeypatch.setattr(connections, "PATIENCE_SEC", 0.5)
    async with serving() as address:
        received = await answer_to(address, sent)
    assert received.startswith(status)


async def test_connection_whose_client_reads_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PATIENCE_SEC", 0.5)
    loop = asyncio.get_running_loop()
    async with serving() as address:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await loop.sock_connect(client, address)
            body = b"x" * 20_000_000
            head = b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
            await loop.sock_sendall(client, head + body)
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                await send_for_ever(client)


async def test_client_that_asks_on_and_reads_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PATIENCE_SEC", 0.5)
    loop = asyncio.get_running_loop()
    async with serving() as address:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await loop.sock_connect(client, address)
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                await loop.sock_sendall(client, LARGE * 1000)


@pytest.mark.slow
async def test_client_that_reads_slower_than_it_asks_gets_all_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PATIENCE_SEC", 2.0)
    async with serving() as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(LARGE * 300 + LAST)
        received = b""
        while piece := await reader.read(100_000):
            received += piece
            await asyncio.sleep(0.01)
        writer.close()
    assert received.count(b"HTTP/1.1 200 OK") == 301


async def send_for_ever(client: socket.socket) -> None:
    """Without reading: fails once the server has ended the connection."""
    while True:
        await asyncio.get_running_loop().sock_sendall(client, b"x")
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("held", [b"", REQUEST % 1], ids=["without a request", "idle after one"])
async def test_new_connection_takes_the_place_of_the_oldest_with_nothing_to_do(held: bytes) -> None:
    async with serving(max_connections=20) as address:
        opened = [await asyncio.open_connection(*address) for _ in range(50)]
        for reader, writer in opened[30:] if held else []:
            writer.write(held)
            await reader.readuntil(b'""]')
        assert b"HTTP/1.1 200 OK" in await answer_to(address, LAST)
        ended = [await asyncio.wait_for(reader.read(), 20) for reader, _ in opened[:31]]
        assert ended == [b""] * 31
        reader, writer = opened[-1]
        writer.write(LAST)
        assert b"HTTP/1.1 200 OK" in await reader.read()
        for _, writer in opened:
            writer.close()


async def test_new_connection_is_refused_while_all_are_busy() -> None:
    async with serving(max_connections=3) as address:
        opened = [await asyncio.open_connection(*address) for _ in range(3)]
        for _, writer in opened:
            writer.write(b"GET /held HTTP/1.1\r\n\r\n")
        received = b""
        while b" 503 " not in received:
            received = await answer_to(address, LAST)
        assert b"retry-after: 1" in received
        for _, writer in opened:
            writer.close()
