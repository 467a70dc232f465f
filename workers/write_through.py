"""Writes histories to the cache after their commit; failed writes are recorded and repeated later.

The offsets of a batch are committed after its histories are in the cache or their users in `stale_history`. So a crash
at any point leaves no unrecorded stale entry: the batch is delivered again, with its users.
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
    """For one consumer; all consumers share the recorded repairs."""

    def __init__(self, database: Database, cache: HistoryCache | None) -> None:
        self._database = database
        self._cache = cache
        self._repaired_at = 0.0

    async def put(self, histories: Mapping[str, Versioned]) -> None:
        """Writes the histories, or records that they have to be written. Raises `DependencyDown` for Postgres."""
        if self._cache is None or not histories:
            return
        try:
            await self._cache.put_many(histories)
        except DependencyDown as error:
            metrics.CONSUMER_ERRORS.labels(error.dependency).inc()
            async with self._database.connection() as connection:
                await stale_histories.record(connection, list(histories))

    async def repair(self) -> int:
        """Once a second: writes a batch of the recorded histories; returns their number."""
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
