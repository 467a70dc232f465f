"""The cache of histories in Redis, as the service opens it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from app.adapters import cache_epoch
from app.adapters.postgres import Database
from app.adapters.redis_histories import RedisHistoryCache


@asynccontextmanager
async def caching(opened: Database, redis_url: str, **changes: Any) -> AsyncIterator[RedisHistoryCache]:
    """A cache that has not been probed."""

    async def confirm(server: str, went_back: bool) -> bytes:
        async with opened.connection() as connection:
            return await cache_epoch.confirm(connection, server, went_back=went_back)

    options: dict[str, Any] = {"key_prefix": "", "ttl_sec": 60.0, "timeout_sec": 2.0, "confirm": confirm}
    cache = RedisHistoryCache(redis_url, **{**options, **changes})
    try:
        yield cache
    finally:
        await cache.close()
