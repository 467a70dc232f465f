"""Connections over TLS to a Redis that does not answer any more are closed without it."""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError, TimeoutError

from app.adapters.postgres import Database
from app.adapters.redis_client import close_idle, close_redis, connection_of, open_redis, packed
from app.errors import DependencyDown
from tests.support.caching import caching
from tests.support.redis_processes import redis_process
from tests.support.tls_front import certify, tls_front

_TIMEOUT_SEC: Final = 2.0


class Front(NamedTuple):
    url: str
    port: int
    flows: threading.Event
    """Not set: nothing gets through, a goodbye neither."""


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    certificate = certify(tmp_path)
    flows = threading.Event()
    flows.set()
    with redis_process() as server, tls_front(server.port, certificate, flows=flows) as port:
        yield Front(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}", port, flows)


def connections_to(front: Front) -> int:
    """Of this process."""
    return sum(bool(one.raddr) and one.raddr.port == front.port for one in psutil.Process().net_connections("tcp"))


@pytest.mark.parametrize("close", [close_idle, close_redis])
async def test_closing_does_not_wait_for_the_server(front: Front, close: Any) -> None:
    client = open_redis(front.url, timeout_sec=_TIMEOUT_SEC)
    assert await asyncio.gather(*(client.ping() for _ in range(3))) == [True] * 3
    assert connections_to(front) == 3
    front.flows.clear()
    await close(client)
    await asyncio.sleep(0)
    assert connections_to(front) == 0
    front.flows.set()
    assert await client.ping()
    await close_redis(client)


async def _on_a_connection(client: Redis) -> None:
    async with connection_of(client) as connection:
        await connection.send_packed_command([packed("PING")])
        await connection.read_response()


async def _by_the_client(client: Redis) -> None:
    await client.ping()


@pytest.mark.parametrize("ask", [_on_a_connection, _by_the_client])
async def test_connection_without_an_answer_is_closed_at_once(front: Front, ask: Any) -> None:
    client = open_redis(front.url, timeout_sec=_TIMEOUT_SEC)
    assert await client.ping()
    (idle,) = client.connection_pool._available_connections
    idle.socket_timeout = 0.1
    front.flows.clear()
    with pytest.raises(TimeoutError):
        await ask(client)
    await asyncio.sleep(0)
    assert connections_to(front) == 0
    await close_redis(client)


async def test_connection_that_is_not_greeted_is_closed_at_once(front: Front) -> None:
    client = open_redis(front.url, timeout_sec=_TIMEOUT_SEC)
    front.flows.clear()
    with pytest.raises(TimeoutError):
        await client.ping()
    await asyncio.sleep(0)
    assert connections_to(front) == 0
    await close_redis(client)


async def test_renewed_certificate_of_the_client_is_shown_from_the_next_connection_on(tmp_path: Path) -> None:
    of_server, of_client, renewed = (tmp_path / name for name in ("server", "client", "renewed"))
    for folder in (of_server, of_client, renewed):
        folder.mkdir()
        certify(folder)
    trusted = of_server / "clients.pem"
    shutil.copy(of_client / "ca.pem", trusted)
    with (
        redis_process() as server,
        tls_front(server.port, of_server / "ca.pem", client_certificate=trusted) as port,
    ):
        files = f"ssl_certfile={of_client}/ca.pem&ssl_keyfile={of_client}/key.pem"
        client = open_redis(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={of_server}/ca.pem&{files}", timeout_sec=2.0)
        assert await client.ping()
        shutil.copy(renewed / "ca.pem", trusted)
        await close_idle(client)
        with pytest.raises(RedisError):  # the server takes the new certificate alone
            await client.ping()
        for name in ("ca.pem", "key.pem"):
            shutil.copy(renewed / name, of_client / name)
        assert await client.ping()
        await close_redis(client)


async def test_probe_of_a_frozen_server_says_that_it_is_down(front: Front, opened: Database) -> None:
    async with caching(opened, front.url, timeout_sec=_TIMEOUT_SEC) as cache:
        await cache.probe()
        await asyncio.gather(*(cache.get_many([f"user-{number}"]) for number in range(3)))
        front.flows.clear()
        with pytest.raises(DependencyDown):
            await cache.probe()
        front.flows.set()
        await cache.probe()
        front.flows.clear()
