"""The cache of histories whose backend can change while the process runs (`reco cache use`)."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import structlog

from app import metrics
from app.adapters import cache_choice
from app.adapters.cache_choice import Backend, Choice
from app.adapters.history_cache import NOTHING_SETTLED, CachedHistories, MemoryHistoryCache, Settled, Versioned
from app.adapters.postgres import Database
from app.adapters.redis_histories import RedisHistoryCache
from app.adapters.redis_slot_histories import SlotHistoryCache
from app.errors import DependencyDown, describe
from app.health import CacheStatus
from app.supervisor import Progress, wait_for_stop

_log = structlog.get_logger(__name__)

_EVERY_SEC: Final = 0.5


class CacheSwitch:
    """Which backend is in use. `run` is the supervised task `cache-switch`, which follows the operator's choice.

    While Postgres is away, the last choice stays.
    """

    def __init__(self, database: Database, settings_backend: Backend) -> None:
        self._database = database
        self._settings_backend = settings_backend
        self.choice: Choice | None = None
        self._show()

    @property
    def backend(self) -> Backend:
        return self._settings_backend if self.choice is None else self.choice.backend

    @property
    def redis_is_written(self) -> bool:
        """Processes that read from Redis now, or do so once the operator's choice ends, need all writes."""
        return "redis" in (self._settings_backend, self.backend)

    def report(self) -> CacheStatus:
        if self.choice is None:
            return CacheStatus(backend=self.backend)
        return CacheStatus(
            backend=self.backend,
            chosen_by=self.choice.chosen_by,
            since=self.choice.chosen_at.isoformat(timespec="milliseconds"),
        )

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        while not stop.is_set():
            try:
                async with self._database.connection() as connection:
                    self._follow(await cache_choice.read(connection))
                progress.beat()
            except DependencyDown as error:
                progress.beat(f"waiting: {describe(error)}")
            await wait_for_stop(stop, _EVERY_SEC)

    def _follow(self, choice: Choice | None) -> None:
        if choice == self.choice:
            return
        before, self.choice = self.backend, choice
        _log.info("cache_backend", backend=self.backend, was=before, by=choice.chosen_by if choice else "settings")
        self._show()

    def _show(self) -> None:
        for backend in ("redis", "memory"):
            metrics.CACHE_BACKEND.labels(backend).set(self.backend == backend)
        metrics.CACHE_CHOSEN.set(self.choice is not None)


class SwitchedCache:
    """A `HistoryCache`. With `writes_through`, Redis also gets what is written while memory is in use, so that its
    histories are right when it is in use again.
    """

    def __init__(
        self,
        switch: CacheSwitch,
        redis: RedisHistoryCache | SlotHistoryCache,
        memory: MemoryHistoryCache,
        *,
        writes_through: bool,
    ) -> None:
        self._switch = switch
        self._redis = redis
        self._memory = memory
        self._writes_through = writes_through

    async def get_many(self, user_ids: Sequence[str]) -> CachedHistories:
        if self._switch.backend == "redis":
            return await self._redis.get_many(user_ids)
        return await self._memory.get_many(user_ids)

    async def put_many(
        self, histories: Mapping[str, Versioned], epoch: bytes, settled: Settled = NOTHING_SETTLED
    ) -> bool:
        """Raises `DependencyDown` when Redis did not take what it has to have."""
        if self._switch.backend == "memory":
            await self._memory.put_many(histories, epoch)
        if self._switch.backend == "redis" or (self._writes_through and self._switch.redis_is_written):
            return await self._redis.put_many(histories, epoch, settled)
        return False

    async def add_own_writes(self, records: Mapping[str, bytes]) -> Collection[str]:
        return await self._redis.add_own_writes(records) if self._switch.backend == "redis" else records
