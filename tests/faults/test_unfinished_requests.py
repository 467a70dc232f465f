"""Clients that begin a request and never end it: they cost little memory and time, and no other client anything."""

import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from app.http.protocol import MAX_HEAD_BYTES
from tests.faults.checker import Client, check
from tests.support.service import Service, eventually, running

_FILES: Final = 1024
_HALF_OPEN: Final = 1100
_ENDLESS_BYTES: Final = 130_000_000
_HEADS: Final = 200
_CHUNKED: Final = b"POST /event HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def few_files() -> Iterator[None]:
    """Processes that this test starts may have 1,024 files open; the test itself may have more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4 * _HALF_OPEN:
        pytest.skip(f"the test needs {4 * _HALF_OPEN} open files, and the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def allow_files(count: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def memory_bytes(service: Service, what: str = "VmRSS") -> int:
    """Resident memory of the process; `VmHWM` is the greatest so far."""
    for line in Path(f"/proc/{service.process.pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {what}")


def connect(service: Service) -> socket.socket:
    host, _, port = service.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionError:
        pass  # the server ended the connection while we still sent
    return received


@contextmanager
def health_asked_for(service: Service) -> Iterator[list[int]]:
    """The statuses of `/healthz`, each asked for on a connection of its own until the end of the block."""
    statuses: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            statuses.append(httpx.get(f"{service.url}/healthz", timeout=20.0, verify=False).status_code)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        eventually(lambda: statuses)
        yield statuses
        before = len(statuses)
        eventually(lambda: len(statuses) > before, describe=service.describe)
    finally:
        stop.set()
        thread.join(20)


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"GET /", id="URL", marks=pytest.mark.slow),
        pytest.param(b"GET / HTTP/1.1\r\nX: ", id="header"),
        pytest.param(b"%b1;" % _CHUNKED, id="chunk extension", marks=pytest.mark.slow),
        pytest.param(b"%b0\r\nX: " % _CHUNKED, id="trailer", marks=pytest.mark.slow),
    ],
)
def test_a_head_without_an_end_is_cut_off(environment: dict[str, str], start: bytes) -> None:
    with running({**environment, "ROLE": "api"}) as service, connect(service) as connection:
        before = memory_bytes(service)
        with health_asked_for(service) as statuses:
            sent = 0
            try:
                connection.sendall(start)
                while sent < _ENDLESS_BYTES:
                    sent += connection.send(b"x" * 1_000_000)
            except ConnectionError:
                pass
        assert sent < _ENDLESS_BYTES
        assert set(statuses) == {200}
        assert memory_bytes(service, "VmHWM") - before < 32 * 1024 * 1024


def test_many_heads_at_the_bound_hold_no_more_memory_than_they_sent(environment: dict[str, str]) -> None:
    with running({**environment, "ROLE": "api"}) as service, ExitStack() as stack:
        before = memory_bytes(service)
        head = b"GET / HTTP/1.1\r\nX: "
        connections = [stack.enter_context(connect(service)) for _ in range(_HEADS)]
        for connection in connections:
            connection.sendall(head + b"x" * (MAX_HEAD_BYTES - len(head)))
        eventually(lambda: service.metric("reco_http_connections") >= _HEADS, describe=service.describe)
        assert memory_bytes(service, "VmHWM") - before < 2 * _HEADS * MAX_HEAD_BYTES
        connections[0].sendall(b"xx")
        assert read_all(connections[0]).startswith(b"HTTP/1.1 431 ")


def test_many_short_requests_sent_at_once_hold_little_memory(environment: dict[str, str]) -> None:
    """The client reads nothing, so that all of them wait behind the first answers."""
    with running({**environment, "ROLE": "api"}) as service, ExitStack() as stack:
        before = memory_bytes(service)
        # Many at 18 bytes each behind some whose answers fill the connection.
        asked = b"GET /openapi.json HTTP/1.1\r\n\r\n" * 30 + b"GET / HTTP/1.1\r\n\r\n" * 3000
        for _ in range(_HEADS):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(20)
            connection.connect(("127.0.0.1", int(service.environment["HTTP_PORT"])))
            connection.sendall(asked)
        assert service.status("/healthz") == 200
        assert memory_bytes(service, "VmHWM") - before < 6 * _HEADS * MAX_HEAD_BYTES


@pytest.mark.slow
@pytest.mark.usefixtures("few_files")
def test_half_open_connections_beyond_the_file_limit_cost_no_other_client_anything(
    environment: dict[str, str], database_url: str, redis_url: str
) -> None:
    with running(environment) as service, ExitStack() as stack:
        allow_files(4 * _HALF_OPEN)
        assert '"event": "few_files"' in service.log()
        with Client(service.url) as client, health_asked_for(service) as statuses:
            client.await_more(20)
            opened = [stack.enter_context(connect(service)) for _ in range(_HALF_OPEN)]
            for connection in opened:
                connection.sendall(b"POST /event HTTP/1.1\r\n")
            client.await_more(50)
            assert '"event": "connections_full"' in service.log()
            assert service.metric("reco_api_refused_total", reason="connections") > 0
            # The others end by their time.
            answers = [read_all(connection) for connection in opened]
            assert all(answer == b"" or answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
            client.await_more(20)
            client.finish()
        assert set(statuses) == {200}
        assert set(client.statuses) == {202}
        eventually(lambda: service.metric("reco_http_connections") < 10, describe=service.describe)
        check(client, database_url=database_url, redis_url=redis_url, within_sec=15.0)


@pytest.mark.shows("HTTP_MAX_CONNECTIONS")
def test_no_more_connections_are_open_than_told(environment: dict[str, str]) -> None:
    with running({**environment, "ROLE": "api", "HTTP_MAX_CONNECTIONS": "20"}) as service, ExitStack() as stack:
        opened = [stack.enter_context(connect(service)) for _ in range(30)]
        assert service.status("/healthz") == 200
        assert [read_all(connection) for connection in opened[:11]] == [b""] * 11
