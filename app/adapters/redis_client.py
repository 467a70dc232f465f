"""The Redis client: one try and a short deadline, since every caller has a fallback and a breaker."""

from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def open_redis(url: str, *, timeout_sec: float, on_connect: Callable[[Any], Awaitable[None]] | None = None) -> Redis:
    """A client that connects when it is first used. `on_connect` makes the handshake of each new connection."""
    return Redis.from_url(
        url,
        protocol=3,
        socket_timeout=timeout_sec,
        socket_connect_timeout=timeout_sec,
        retry=Retry(NoBackoff(), 0),
        max_connections=16,
        redis_connect_func=on_connect,
    )
