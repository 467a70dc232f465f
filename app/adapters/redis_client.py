"""The Redis client: one try and a short deadline, since every caller has a fallback and a breaker."""

from collections.abc import Callable
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from app.core.redis_url import SentinelAddress, sentinel_of

_RESP2: Final = (
    "this server speaks RESP2 only, as Redis before version 6 does, and the service needs RESP3: use Redis 6 or later, "
    "or ONLINE_CACHE_BACKEND=memory"
)
_CLUSTER: Final = (
    "this server is a node of a Redis Cluster, which spreads the keys over several servers: set ONLINE_CACHE_REDIS_URL "
    "to one server, or to Sentinels (redis+sentinel://), or use ONLINE_CACHE_BACKEND=memory"
)


def open_redis(url: str, *, timeout_sec: float, on_connect: Callable[[Any, bytes], None] | None = None) -> Redis:
    """A client that connects when it is first used. `on_connect` is given each new connection, and what the server at
    its other end says of itself (`INFO server`).

    A server that the service cannot use raises `RedisError` with what to do.
    """

    async def greet(connection: Any) -> None:
        info = await _shake_hands(connection)
        if on_connect is not None:
            on_connect(connection, info)

    timeouts: dict[str, Any] = {"socket_timeout": timeout_sec, "socket_connect_timeout": timeout_sec}
    once = Retry(NoBackoff(), 0)
    options: dict[str, Any] = {"protocol": 3, "retry": once, "max_connections": 16, "redis_connect_func": greet}
    address = sentinel_of(url)
    if address is None:
        return Redis.from_url(url, **timeouts, **options)
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        address.sentinels, sentinel_kwargs={**timeouts, "retry": once, **address.login, **_tls(address)}
    )
    client: Redis = sentinels.master_for(
        address.service,
        **timeouts,
        **options,
        **_tls(address),
        db=address.number,
        username=address.user,
        password=address.password,
    )
    return client


async def close_redis(client: Redis) -> None:
    """Closes its connections, those to Sentinels too."""
    await client.aclose()
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        for sentinel in pool.sentinel_manager.sentinels:
            await sentinel.aclose()


async def _shake_hands(connection: Any) -> bytes:
    try:
        await connection.on_connect()
    except ResponseError as error:
        if "NOPROTO" in str(error) or ("unknown command" in str(error) and "HELLO" in str(error).upper()):
            raise RedisError(_RESP2) from error
        raise
    await connection.send_command("INFO", "server", check_health=False)
    info: bytes = await connection.read_response()
    if b"redis_mode:cluster" in info:
        raise RedisError(_CLUSTER)
    return info


def _tls(address: SentinelAddress) -> dict[str, Any]:
    if address.tls is None:
        return {}
    found: dict[str, Any] = {**address.tls, "ssl": True}
    if "ssl_check_hostname" in found:
        found["ssl_check_hostname"] = found["ssl_check_hostname"].lower() == "true"
    return found
