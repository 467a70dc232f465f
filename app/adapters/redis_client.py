"""The Redis client: one try and a short deadline, since every caller has a fallback and a breaker."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final

import hiredis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from app.adapters.redis_sentinels import Sentinels
from app.core.redis_url import ClusterAddress, SentinelAddress, ServerAddress, address_of

_RESP2: Final = (
    "this server speaks RESP2 only, as Redis before version 6 does, and the service needs RESP3: use Redis 6 or later, "
    "or ONLINE_CACHE_BACKEND=memory"
)
_CLUSTER: Final = (
    "this server is a node of a Redis Cluster, which spreads the keys over several servers: begin "
    "ONLINE_CACHE_REDIS_URL with redis+cluster:// (rediss+cluster:// with TLS), or use ONLINE_CACHE_BACKEND=memory"
)
_SENTINEL: Final = (
    "this server is a Sentinel: begin ONLINE_CACHE_REDIS_URL with redis+sentinel:// (rediss+sentinel:// with TLS), and "
    "end it with the name that the Sentinels have for the master"
)
_NO_CLUSTER: Final = (
    "this server is no node of a Redis Cluster: begin ONLINE_CACHE_REDIS_URL with redis:// (rediss:// with TLS), or "
    "turn cluster-enabled on"
)


def open_redis(url: str, *, timeout_sec: float, on_connect: Callable[[Any, bytes], None] | None = None) -> Redis:
    """A client of the server at `url`, or of the master that its Sentinels name, that connects when it is first used.
    `on_connect` is given each new connection, and what the server at its other end says of itself (`INFO server`).

    A server that the service cannot use raises `RedisError` with what to do.
    """

    options = _options(timeout_sec, on_connect, in_cluster=False)
    address = address_of(url)
    assert not isinstance(address, ClusterAddress)  # which has a client for each node: `open_node`
    login: dict[str, Any] = {"db": address.number, "username": address.user, "password": address.password}
    if isinstance(address, ServerAddress):
        place = {"host": address.host, "port": address.port, "unix_socket_path": address.socket}
        return _closing_at_once(Redis(**{**place, **login, **_tls(address), **options}))
    shared = ("socket_timeout", "socket_connect_timeout", "retry", "maint_notifications_config")
    of_sentinels = {name: options[name] for name in shared}
    sentinels = Sentinels(  # type: ignore[no-untyped-call]
        address.sentinels, sentinel_kwargs={**of_sentinels, **address.login, **_tls(address)}
    )
    for one in sentinels.sentinels:
        _closing_at_once(one)
    return _closing_at_once(sentinels.master_for(address.service, **options, **_tls(address), **login))


def open_node(
    address: ClusterAddress,
    host: str,
    port: int,
    *,
    timeout_sec: float,
    on_connect: Callable[[Any, bytes], None] | None = None,
) -> Redis:
    """As `open_redis`, for one node of a cluster."""
    client = Redis(
        host=host,
        port=port,
        username=address.user,
        password=address.password,
        **_tls(address),
        **_options(timeout_sec, on_connect, in_cluster=True),
    )
    return _closing_at_once(client)


def packed(*words: str | bytes | int) -> bytes:
    """A command as it is sent. The client's own packing takes eight times as long."""
    pack: Callable[[tuple[str | bytes | int, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]  # one word
    return pack(words)


@asynccontextmanager
async def connection_of(client: Redis) -> AsyncIterator[Any]:
    """A connection of its pool. One that fails, or whose answer nobody waited for, is closed."""
    pool: Any = client.connection_pool
    connection = await pool.get_connection()
    try:
        yield connection
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)


async def close_idle(client: Redis) -> None:
    """Closes the connections that nobody uses: they may lead to a process that ended."""
    await client.connection_pool.disconnect(inuse_connections=False)


async def close_redis(client: Redis) -> None:
    """Closes its connections, those to Sentinels too."""
    pool: Any = client.connection_pool
    sentinels = pool.sentinel_manager.sentinels if isinstance(pool, SentinelConnectionPool) else []
    for one in (client, *sentinels):
        await one.aclose()


def _closing_at_once(client: Redis) -> Redis:
    """TLS says goodbye otherwise: a server that is slow to answer makes closing fail after the timeout, or keeps the
    connection for half a minute.
    """
    pool: Any = client.connection_pool
    pool.connection_class = _cut(pool.connection_class)
    return client


@cache
def _cut(kind: type[Any]) -> type[Any]:
    """This kind of connection, without a goodbye, and with certificates as their files are when it connects. The pool
    opens one anew that was reset while it was idle, as one that was closed.
    """

    class Cut(kind):  # type: ignore[misc] # each address has a class of its own
        async def _connect(self) -> None:
            if tls := getattr(self, "ssl_context", None):
                tls.context = None  # kept for as long as the pool has this connection: certificates may be renewed
            await super()._connect()

        async def can_read(self, *args: Any, **options: Any) -> bool:
            closed: bool = self._writer.transport.is_closing()
            return closed or await super().can_read(*args, **options)

        async def disconnect(self, *args: Any, **options: Any) -> None:
            if self.is_connected:
                self._writer.transport.abort()
            await super().disconnect(*args, **options)

    return Cut


def _options(
    timeout_sec: float, on_connect: Callable[[Any, bytes], None] | None, *, in_cluster: bool
) -> dict[str, Any]:
    async def greet(connection: Any) -> None:
        info = await _shake_hands(connection)
        if b"redis_mode:sentinel" in info:
            raise RedisError(_SENTINEL)
        if (b"redis_mode:cluster" in info) is not in_cluster:
            raise RedisError(_NO_CLUSTER if in_cluster else _CLUSTER)
        if on_connect is not None:
            on_connect(connection, info)

    return {
        "socket_timeout": timeout_sec,
        "socket_connect_timeout": timeout_sec,
        "protocol": 3,
        "retry": Retry(NoBackoff(), 0),
        # More than the members of a process, its probe and what else asks can need: the pool refuses, and nobody waits.
        "max_connections": 64,
        # With them, redis-py hands out idle connections that the server has closed (redis-py #4252).
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        "redis_connect_func": greet,
    }


async def _shake_hands(connection: Any) -> bytes:
    try:
        await connection.on_connect()
    except ResponseError as error:
        if "NOPROTO" in str(error) or ("unknown command" in str(error) and "HELLO" in str(error).upper()):
            raise RedisError(_RESP2) from error
        raise
    await connection.send_command("INFO", "server", check_health=False)
    info: bytes = await connection.read_response()
    return info


def _tls(address: ServerAddress | SentinelAddress | ClusterAddress) -> dict[str, Any]:
    if address.tls is None:
        return {}
    # Without a password, OpenSSL would ask for that of a key at the terminal.
    found: dict[str, Any] = {"ssl_password": "", **address.tls, "ssl": True}
    if "ssl_check_hostname" in found:
        found["ssl_check_hostname"] = found["ssl_check_hostname"] == "true"
    return found
