"""The cache of users' histories: written through by the consumer, versioned so that a late write never wins."""

import time
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, Protocol, cast

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app import metrics
from app.adapters.redis_client import open_redis
from app.core.breaker import Breaker
from app.errors import DependencyDown, describe

_PREFIX: Final = "reco:history:"
_VERSION_BYTES: Final = 8

# Writes each key unless it holds a newer version. The version is the first 8 bytes, big-endian, so comparing bytes
# compares numbers. ARGV: milliseconds to live, then a value a key.
_WRITE_NEWER: Final = """
for i, key in ipairs(KEYS) do
  local held = redis.call('GETRANGE', key, 0, 7)
  if #held < 8 or held <= string.sub(ARGV[i + 1], 1, 8) then
    redis.call('SET', key, ARGV[i + 1], 'PX', ARGV[1])
  end
end
"""


class Versioned(Struct, frozen=True):
    """A history's bytes as `user_history` holds them, and the row's version."""

    version: int
    history: bytes


class HistoryCache(Protocol):
    async def get_many(self, user_ids: Sequence[str]) -> dict[str, Versioned]:
        """The cached histories of these users. Raises `DependencyDown`."""
        ...

    async def put_many(self, histories: Mapping[str, Versioned]) -> None:
        """Stores each history unless a newer version is cached. Raises `DependencyDown`."""
        ...


class MemoryHistoryCache:
    """In process memory, bounded. Consumers in other processes cannot update it, so entries are short-lived."""

    def __init__(self, *, ttl_sec: float, max_keys: int) -> None:
        self._ttl_sec = ttl_sec
        self._max_keys = max_keys
        self._entries: dict[str, tuple[float, Versioned]] = {}

    async def get_many(self, user_ids: Sequence[str]) -> dict[str, Versioned]:
        now = time.monotonic()
        entries = ((user_id, self._entries.get(user_id)) for user_id in user_ids)
        return {user_id: entry[1] for user_id, entry in entries if entry is not None and entry[0] > now}

    async def put_many(self, histories: Mapping[str, Versioned]) -> None:
        expires = time.monotonic() + self._ttl_sec
        for user_id, written in histories.items():
            held = self._entries.pop(user_id, None)
            newer = written if held is None or held[1].version <= written.version else held[1]
            self._entries[user_id] = (expires, newer)
        while len(self._entries) > self._max_keys:
            self._entries.pop(next(iter(self._entries)))


class RedisHistoryCache:
    """In Redis, shared by all processes. A breaker skips Redis while it fails."""

    def __init__(self, url: str, *, ttl_sec: float, timeout_sec: float) -> None:
        self._ttl_ms = int(ttl_sec * 1000)
        self._breaker = Breaker()
        self._redis: Redis = open_redis(url, timeout_sec=timeout_sec)
        self._write_newer = self._redis.register_script(_WRITE_NEWER)

    async def get_many(self, user_ids: Sequence[str]) -> dict[str, Versioned]:
        values = await self._ask(self._redis.mget([_PREFIX + user_id for user_id in user_ids]))
        return {
            user_id: Versioned(int.from_bytes(value[:_VERSION_BYTES], "big"), value[_VERSION_BYTES:])
            for user_id, value in zip(user_ids, values, strict=True)
            if value is not None and len(value) >= _VERSION_BYTES
        }

    async def put_many(self, histories: Mapping[str, Versioned]) -> None:
        keys = [_PREFIX + user_id for user_id in histories]
        values = [entry.version.to_bytes(_VERSION_BYTES, "big") + entry.history for entry in histories.values()]
        await self._ask(self._write_newer(keys=keys, args=[self._ttl_ms, *values]))

    async def probe(self) -> None:
        """Pings Redis. Raises `DependencyDown` when it does not answer."""
        try:
            await cast("Awaitable[Any]", self._redis.ping())
        except (RedisError, OSError) as error:
            raise DependencyDown("redis", describe(error)) from error

    async def close(self) -> None:
        await self._redis.aclose()

    async def _ask(self, command: Any) -> Any:
        if not self._breaker.allows(time.monotonic()):
            command.close()
            raise DependencyDown("redis", "passed over after failures in a row")
        try:
            answer = await command
        except (RedisError, OSError) as error:
            self._breaker.failed(time.monotonic())
            metrics.CACHE_BREAKER_OPEN.set(self._breaker.is_open)
            raise DependencyDown("redis", describe(error)) from error
        self._breaker.succeeded()
        metrics.CACHE_BREAKER_OPEN.set(0)
        return answer
