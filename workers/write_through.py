"""Histories into the cache after their commit; what could not be written is remembered and written later.

The offsets of a batch are committed after its histories stand in the cache or in `stale_history`, so a crash at any
point leaves no entry that is older than Postgres and known to nobody: the batch comes again, and its users with it.
"""

import time
from collections.abc import Mapping
from typing import Final

from app import metrics
from app.adapters import features, stale_histories
from app.adapters.history_cache import HistoryCache, Versioned
from app.adapters.postgres import Database
from app.errors import DependencyDown

_REPAIR_BATCH: Final = 500
_REPAIR_EVERY_SEC: Final = 1.0


class WriteThrough:
    """For one consumer; any number of them share what is left to repair."""

    def __init__(self, database: Database, cache: HistoryCache | None) -> None:
        self._database = database
        self._cache = cache
        self._repaired_at = 0.0

    async def put(self, histories: Mapping[str, Versioned]) -> None:
        """Writes the histories, or notes down that they are to be written. Raises `DependencyDown` for Postgres."""
        if self._cache is None or not histories:
            return
        try:
            await self._cache.put_many(histories)
        except DependencyDown as error:
            metrics.CONSUMER_ERRORS.labels(error.dependency).inc()
            async with self._database.connection() as connection:
                await stale_histories.record(connection, list(histories))

    async def repair(self) -> int:
        """Once a second: writes what was noted down, a batch at a time; returns how many histories that were."""
        if self._cache is None or time.monotonic() - self._repaired_at < _REPAIR_EVERY_SEC:
            return 0
        try:
            async with self._database.connection() as connection, connection.transaction():
                user_ids = await stale_histories.take(connection, _REPAIR_BATCH)
                if user_ids:
                    stored = await features.read_histories(connection, user_ids)
                    await self._cache.put_many(stored)
        except DependencyDown:
            user_ids = []
        if len(user_ids) < _REPAIR_BATCH:
            self._repaired_at = time.monotonic()
        return len(user_ids)
