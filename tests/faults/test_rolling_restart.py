"""Two API processes on one port are restarted one after the other, up to ten times, under load on kept connections."""

import asyncio
import json
import random
import socket
import time
from contextlib import ExitStack
from typing import Final

import psycopg
import pytest

from tests.support.service import Service, running

_GRACE_SEC: Final = 1.0
# How long a connection is idle between two requests, and how many connections of that age there are.
_BUSY: Final = {0.0: 8, 0.02: 8, 0.2: 8, 0.6: 8}
# Longer than the grace: a client looks whether the server has closed the connection, as every pool does.
_IDLE: Final = {1.5: 6, 3.0: 6, 6.0: 6}
_ANSWER_SEC: Final = 15.0
# Of some 300 connections that are closed idle: a client that has looked can be put off by its machine before it sends.
_MOST_CROSSINGS: Final = 2


class Load:
    """Clients that retry nothing. Each keeps its connection until an answer says that the server closes it.

    A request on an idle connection may cross with its end. No server of HTTP/1.1 can rule that out, and each pool sends
    such a request again (RFC 9112, 9.3.1 and 9.5): these are counted apart.
    """

    def __init__(self, port: int) -> None:
        self.failures: list[str] = []
        self.accepted: set[str] = set()
        self.crossings = 0
        self.told_to_close = 0
        self._port = port
        self._sent = 0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        for age_sec, count in {**_BUSY, **_IDLE}.items():
            self._tasks += [asyncio.create_task(self._client(age_sec)) for _ in range(count)]

    async def more(self, requests: int) -> None:
        goal = self._sent + requests
        while self._sent < goal:
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        self.failures += [repr(end) for end in ended if isinstance(end, Exception)]

    async def _client(self, age_sec: float) -> None:
        while True:
            with socket.socket() as connection:
                connection.setblocking(False)
                await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self._port))
                idle_since = time.monotonic()
                await asyncio.sleep(age_sec * random.random())  # a pool connects ahead of the first request
                while True:
                    # As it was, and not as it was planned: a busy machine may wake the client late.
                    silence_sec = time.monotonic() - idle_since
                    if silence_sec > _GRACE_SEC and closed(connection):
                        break
                    if not await self._send(connection, silence_sec):
                        break
                    idle_since = time.monotonic()
                    await asyncio.sleep(age_sec * random.uniform(0.9, 1.1))

    async def _send(self, connection: socket.socket, silence_sec: float) -> bool:
        """One event. False when the connection is of no more use."""
        self._sent += 1
        event_id = f"event-{self._sent:08}"
        body = json.dumps(
            {"event_id": event_id, "user_id": "u", "session_id": "s", "item_id": "i", "event_type": "view"}
        ).encode()
        loop = asyncio.get_running_loop()
        answer = b""
        try:
            async with asyncio.timeout(_ANSWER_SEC):
                await loop.sock_sendall(
                    connection, b"POST /event HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
                )
                while not whole(answer):
                    received = await loop.sock_recv(connection, 65_536)
                    if not received:
                        raise ConnectionError("closed without an answer")
                    answer += received
        except (OSError, TimeoutError) as error:
            if silence_sec > _GRACE_SEC and not answer and isinstance(error, ConnectionError):
                self.crossings += 1
                return False
            self.failures.append(f"after {silence_sec:.2f} s of silence: {error!r}, {answer!r}")
            return False
        if answer[9:12] == b"202":
            self.accepted.add(event_id)
        else:
            self.failures.append(f"after {silence_sec:.2f} s of silence: {answer!r}")
        if b"connection: close" in answer.lower():
            self.told_to_close += 1
            return False
        return True


def closed(connection: socket.socket) -> bool:
    """What a pool asks before it hands out a kept connection."""
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False


def whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    return bool(end) and len(body) == int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rolls", [1, pytest.param(10, marks=pytest.mark.slow)])
async def test_two_api_processes_roll_without_a_failed_request(environment: dict[str, str], rolls: int) -> None:
    shared = {
        **environment,
        "ROLE": "api",
        "HTTP_REUSE_PORT": "true",
        "SHUTDOWN_GRACE_SEC": f"{_GRACE_SEC:g}",
    }
    load = Load(int(environment["HTTP_PORT"]))
    with ExitStack() as stack:

        async def start() -> Service:
            return await asyncio.to_thread(stack.enter_context, running(shared))

        serving = [await start(), await start()]
        load.start()
        await load.more(500)
        for _ in range(rolls):
            for _ in range(2):
                old = serving.pop(0)
                new, code = await asyncio.gather(start(), asyncio.to_thread(old.terminate))
                serving.append(new)
                assert code == 0, old.log()
                await load.more(100)
        await load.stop()
        assert load.failures == []
        assert load.crossings <= _MOST_CROSSINGS
        assert load.told_to_close > 0
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        stored = {row[0] for row in connection.execute("SELECT event_id FROM events").fetchall()}
    assert load.accepted <= stored
