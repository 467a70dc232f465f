"""The Redis client: one try and a short deadline, since every caller has a fallback and a breaker."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def open_redis(url: str, *, timeout_sec: float) -> Redis:
    """A client that connects when it is first used."""
    return Redis.from_url(
        url,
        protocol=3,
        socket_timeout=timeout_sec,
        socket_connect_timeout=timeout_sec,
        retry=Retry(NoBackoff(), 0),
        max_connections=16,
    )
