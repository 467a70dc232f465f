"""Limits the requests of each caller per window, shared by all processes through Redis.

A process takes its share of a window in leases, so that most requests are decided without a round trip, and all
processes together never allow more than the limit. An unused lease is unavailable to the other processes until
the window ends: at most 5 % of the limit for each. Without Redis each process counts for itself.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from msgspec import Struct
from redis.exceptions import RedisError

from app import metrics
from app.adapters.redis_client import close_redis, open_redis
from app.adapters.redis_cluster import RedisCluster
from app.core.breaker import Breaker
from app.core.redis_url import cluster_of

_PREFIX: Final = "reco:rate:"
_LEASES_A_WINDOW: Final = 20
_MAX_CALLERS: Final = 50_000
# The connections to Redis that many new callers at once may take; the others wait for one.
_AT_ONCE: Final = 8
# For so many times the timeout of a call. Who waits longer is limited by this process alone.
_TIMEOUTS_TO_WAIT: Final = 2

# The window starts with its first request and ends when the key expires: Redis' clock alone decides.
# A key that holds something else than a count starts anew. KEYS: the caller. ARGV: requests wanted, window in ms.
# Returns the count so far and the ms left in the window.
_TAKE: Final = """
local used = redis.pcall('INCRBY', KEYS[1], ARGV[1])
if type(used) ~= 'number' then
  redis.call('DEL', KEYS[1])
  used = redis.call('INCRBY', KEYS[1], ARGV[1])
end
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  left = tonumber(ARGV[2])
end
return {used, left}
"""


_Script = Callable[..., Awaitable[Any]]


class Decision(Struct, frozen=True):
    """`remaining` requests until `reset_sec` from now, when the next window starts."""

    allowed: bool
    limit: int
    remaining: int
    reset_sec: int


class _Lease(Struct):
    tokens: int
    remaining: int
    ends: float


class RateLimiter:
    """Allows `limit` requests per `window_sec` and caller; with `redis_url` None it counts in this process only."""

    def __init__(
        self, *, limit: int, window_sec: float, redis_url: str | None, key_prefix: str, timeout_sec: float
    ) -> None:
        self._limit = limit
        self._window_sec = window_sec
        self._key_prefix = key_prefix + _PREFIX
        self._share = max(1, limit // _LEASES_A_WINDOW)
        self._leases: dict[str, _Lease] = {}
        self._renewals: dict[str, asyncio.Task[None]] = {}
        self._breaker = Breaker()
        self._free_connections = asyncio.Semaphore(_AT_ONCE)
        self._patience_sec = _TIMEOUTS_TO_WAIT * timeout_sec
        self._take_leases, self._close_redis = _shared_counts(redis_url, timeout_sec)

    async def take(self, caller: str) -> Decision:
        """Counts one request."""
        while True:
            now = time.monotonic()
            lease = self._leases.get(caller)
            if lease is not None and now < lease.ends:
                if lease.tokens > 0:
                    lease.tokens -= 1
                    return self._decision(lease, now, allowed=True)
                if lease.remaining == 0:
                    return self._decision(lease, now, allowed=False)
            renewal = self._renewals.get(caller)
            if renewal is None:
                renewal = self._renewals[caller] = asyncio.create_task(self._renew(caller))
                renewal.add_done_callback(lambda _: self._renewals.pop(caller, None))
            # Cancelling one request must not cancel the lease that others wait for.
            await asyncio.shield(renewal)

    async def close(self) -> None:
        if self._renewals:
            await asyncio.wait(self._renewals.values())
        if self._close_redis is not None:
            await self._close_redis()

    def _decision(self, lease: _Lease, now: float, *, allowed: bool) -> Decision:
        return Decision(allowed, self._limit, lease.tokens + lease.remaining, max(1, math.ceil(lease.ends - now)))

    async def _renew(self, caller: str) -> None:
        answer = await self._ask(caller)
        now = time.monotonic()
        if answer is None:
            held = self._leases.get(caller)
            # One local window for this process, and not a new one after every failed call.
            lease = _Lease(self._limit, 0, now + self._window_sec)
            if held is not None and now < held.ends:
                lease = _Lease(held.remaining, 0, held.ends)
        else:
            used, left_ms = answer
            before = used - self._share
            granted = max(0, min(self._share, self._limit - before))
            lease = _Lease(granted, max(0, self._limit - used), now + left_ms / 1000)
        self._leases.pop(caller, None)
        if len(self._leases) >= _MAX_CALLERS:
            self._leases.pop(next(iter(self._leases)))
        self._leases[caller] = lease

    async def _ask(self, caller: str) -> tuple[int, int] | None:
        """The count including this lease and the ms left in the window; None when Redis does not answer."""
        if self._take_leases is None:
            return None
        try:
            async with asyncio.timeout(self._patience_sec):
                await self._free_connections.acquire()
        except TimeoutError:  # it answers, and too slowly for all who ask
            metrics.RATE_LIMIT_ALONE.inc()
            return None
        try:
            if not self._breaker.allows(time.monotonic()):
                return None
            answer: Any = await self._take_leases(
                keys=[self._key_prefix + caller], args=[self._share, math.ceil(self._window_sec * 1000)]
            )
        except (RedisError, OSError):
            self._breaker.failed(time.monotonic())
            metrics.RATE_LIMIT_ALONE.inc()
            return None
        finally:
            self._free_connections.release()
        self._breaker.succeeded()
        return int(answer[0]), int(answer[1])


def _shared_counts(
    redis_url: str | None, timeout_sec: float
) -> tuple[_Script | None, Callable[[], Awaitable[None]] | None]:
    """What runs `_TAKE` with one key, and what closes it. None without Redis."""
    if redis_url is None:
        return None, None
    if (address := cluster_of(redis_url)) is not None:
        cluster = RedisCluster(address, timeout_sec=timeout_sec)
        return partial(cluster.evaluate, _TAKE), cluster.close
    client = open_redis(redis_url, timeout_sec=timeout_sec)
    return client.register_script(_TAKE), partial(close_redis, client)
