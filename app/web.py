"""The HTTP side of a process: the buffer before Postgres, the routes of its role, and what guards them."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from litestar.handlers import HTTPRouteHandler

from app import metrics
from app.adapters import ingest as ingest_adapter
from app.adapters import outbox
from app.adapters.history_cache import HistoryCache
from app.adapters.ingest import InsertStatus
from app.adapters.key_file import KeySource
from app.adapters.postgres import Database
from app.adapters.rate_limit import RateLimiter
from app.api import analytics, ingest, items, recommendations, root, rules, users
from app.api.examples import EXAMPLES
from app.core.events import Record
from app.core.variants import Variants
from app.errors import BufferFull, Closed, DependencyDown
from app.http import app, server
from app.http.access import Access
from app.http.sla import SlaWindow
from app.ingest.group_commit import GroupCommit
from app.serving import change_feed
from app.serving.candidate_caches import CandidateCaches
from app.serving.histories import Histories
from app.serving.recommender import Recommender
from app.settings import Settings
from app.supervisor import Progress

_NOTIFY_EVERY_SEC: Final = 0.02
_NOTIFY_AGAIN_SEC: Final = 0.5
_BEACON_PATH: Final = "/log/batch"


class Web:
    """`serve` is the supervised task `http-server`."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        cache: HistoryCache | None,
        histories: Histories,
        caches: CandidateCaches,
        *,
        draining: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._database = database
        self._cache = cache
        self._histories = histories
        self._caches = caches
        self._draining = draining
        self._announced = asyncio.Event()
        self._sla = SlaWindow()
        self._buffer = GroupCommit(
            self._insert,
            self._insert_atomic,
            max_pending=settings.ingest_max_pending_events,
            flush_max=settings.ingest_flush_max_events,
            flushers=settings.ingest_flushers,
            timeout_sec=settings.ingest_timeout_sec,
            on_stored=self._announced.set,
        )
        self._limiter = _limiter(settings) if "api" in settings.role else None
        self._access = _access(settings, self._limiter) if "api" in settings.role else Access()

    async def serve(
        self, listener: socket.socket, handlers: Sequence[HTTPRouteHandler], stop: asyncio.Event, progress: Progress
    ) -> None:
        """`handlers` are those of every role; the API's are added here."""
        settings = self._settings
        options = app.Options(
            timeout_sec=settings.http_request_timeout_sec,
            cors_allow_origins=settings.cors_allow_origins,
            access=self._access,
            draining=self._draining,
            examples=EXAMPLES,
        )
        served = app.build([*handlers, *self._handlers()], options)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._buffer.run())
            helpers = [group.create_task(self._announce()), group.create_task(self._sla.run())]
            if "api" in settings.role:
                helpers.append(group.create_task(change_feed.follow(self._database, self._caches.outdate)))
            try:
                await server.serve(served, listener, stop, progress, drain_sec=settings.shutdown_timeout_sec / 2)
            finally:
                self._buffer.close()
                for helper in helpers:
                    helper.cancel()

    async def close(self) -> None:
        if self._limiter is not None:
            await self._limiter.close()

    def _handlers(self) -> list[HTTPRouteHandler]:
        if "api" not in self._settings.role:
            return []
        return [
            *root.handlers(),
            *ingest.handlers(self._buffer),
            *recommendations.handlers(
                Recommender(
                    self._histories,
                    self._caches,
                    exploration_share=self._settings.exploration_share,
                    exploration_seed=self._settings.exploration_seed,
                ),
                self._log_impression,
                Variants(self._settings.experiment, self._settings.variants),
            ),
            *items.handlers(self._database),
            *rules.handlers(self._database),
            *users.handlers(self._database, self._cache, self._histories.forget),
            *analytics.handlers(self._database, self._sla),
        ]

    async def _insert(self, records: Sequence[Record]) -> list[InsertStatus]:
        async with self._database.connection() as connection:
            return await ingest_adapter.insert_events(connection, records)

    async def _insert_atomic(self, records: Sequence[Record]) -> list[InsertStatus]:
        async with self._database.connection() as connection:
            return await ingest_adapter.insert_all_or_none(connection, records)

    def _log_impression(self, record: Record) -> None:
        try:
            self._buffer.submit((record,))
        except (BufferFull, Closed):
            metrics.INGEST_EVENTS.labels("impression_dropped").inc()

    async def _announce(self) -> None:
        """Tells the relays of new rows, at most once every 20 ms however many flushes there are."""
        while True:
            await self._announced.wait()
            self._announced.clear()
            try:
                async with self._database.connection() as connection:
                    await outbox.notify(connection)
            except DependencyDown:
                self._announced.set()  # a row that was stored is announced as soon as that can be
                await asyncio.sleep(_NOTIFY_AGAIN_SEC)
            await asyncio.sleep(_NOTIFY_EVERY_SEC)


def _limiter(settings: Settings) -> RateLimiter | None:
    if settings.rate_limit_requests == 0:
        return None
    shared = settings.online_cache_enabled and settings.online_cache_backend == "redis"
    return RateLimiter(
        limit=settings.rate_limit_requests,
        window_sec=settings.rate_limit_window_sec,
        redis_url=settings.online_cache_redis_url if shared else None,
        timeout_sec=settings.online_cache_redis_timeout_sec,
    )


def _access(settings: Settings, limiter: RateLimiter | None) -> Access:
    keys = None
    if settings.api_keys or settings.api_keys_file:
        path = Path(settings.api_keys_file) if settings.api_keys_file else None
        keys = KeySource(settings.api_keys, path).current
    return Access(
        keys=keys,
        take=None if limiter is None else limiter.take,
        query_paths=frozenset([_BEACON_PATH] if settings.api_keys_in_query else []),
    )
