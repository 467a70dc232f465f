"""What clients do with their connections, as a running service meets it."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.service import Service, running

EVENT = json.dumps({"user_id": "ann", "session_id": "s", "item_id": "tent", "event_type": "view"}).encode()
HEAD = b"POST /event HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(EVENT)
ASK = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
_MOST = 20


@pytest.fixture
def service(environment: dict[str, str]) -> Iterator[Service]:
    with running({**environment, "ROLE": "api", "HTTP_MAX_CONNECTIONS": str(_MOST)}) as started:
        yield started


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(service.environment["HTTP_PORT"])), timeout=20)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while data := connection.recv(65_536):
        received += data
    return received


def test_requests_sent_without_waiting_are_all_answered(service: Service) -> None:
    with connect(service) as connection:
        connection.sendall((HEAD + EVENT) * 200 + LAST)
        answers = read_all(connection)
    assert answers.count(b"HTTP/1.1 202 ") == 200
    assert answers.count(b"HTTP/1.1 200 ") == 1


def test_a_body_that_comes_in_pieces_is_one_event(service: Service) -> None:
    with connect(service) as connection:
        connection.sendall(HEAD + EVENT[:20])
        # Answered after the server has seen the piece before it.
        assert service.status("/healthz") == 200
        connection.sendall(EVENT[20:] + LAST)
        answers = read_all(connection)
    assert answers.count(b"HTTP/1.1 202 ") == answers.count(b"HTTP/1.1 200 ") == 1


def test_a_new_client_takes_the_place_of_the_longest_idle_one(service: Service) -> None:
    service.client.close()
    with ExitStack() as stack:
        kept = [stack.enter_context(connect(service)) for _ in range(_MOST)]
        for connection in kept:
            connection.sendall(ASK)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        with connect(service) as new:
            new.sendall(LAST)
            assert read_all(new).startswith(b"HTTP/1.1 200 ")
        assert kept[0].recv(1) == b""
        kept[-1].sendall(ASK)
        assert kept[-1].recv(65_536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.slow
def test_connection_idle_for_65_seconds_is_ended(service: Service) -> None:
    with connect(service) as idle:
        idle.settimeout(90)
        idle.sendall(ASK)
        assert read_all(idle).count(b"HTTP/1.1 200 ") == 1


@pytest.mark.slow
def test_a_client_that_asks_on_and_reads_nothing_is_ended_without_an_error(service: Service) -> None:
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(40)  # the server has ten seconds of patience
        connection.connect(("127.0.0.1", int(service.environment["HTTP_PORT"])))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            connection.sendall(asked * 3000)
    assert service.status("/healthz") == 200
    assert "Exception" not in service.log()
