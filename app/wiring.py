"""Opens and closes what the process needs, runs the tasks of its roles, and ends them in order."""

import asyncio
import os
import socket
from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from app import build, metrics, options
from app.adapters import cache_epoch, migrations, sequences
from app.adapters.direct_url import check_direct_url
from app.adapters.generations import ServingGeneration
from app.adapters.history_cache import MemoryHistoryCache
from app.adapters.kafka_probe import KafkaProbe
from app.adapters.postgres import Database
from app.adapters.read_replica import ReadReplica, ReadSource
from app.adapters.redis_histories import RedisHistoryCache
from app.adapters.redis_slot_histories import SlotHistoryCache
from app.api import health
from app.clock import clock
from app.core.database_url import for_reads
from app.core.redis_url import ClusterAddress, address_of
from app.deferred_migration import DeferredMigration
from app.health import ProcessInfo, Readiness, Requirement, summarize
from app.http import app, connections, server
from app.http.access import Access
from app.monitor import Dependency, Monitor
from app.roles.workers import workers
from app.serving.cache_switch import CacheSwitch, SwitchedCache
from app.settings import Settings
from app.supervisor import Progress, Supervisor, TaskSpec

if TYPE_CHECKING:
    from app.roles.api import Api
    from app.serving.candidate_caches import CandidateCaches
    from app.telemetry.provider import Telemetry

_log = structlog.get_logger(__name__)

# Other processes' consumers cannot update this process's memory, so its histories expire soon.
_MEMORY_HISTORY_TTL_SEC: Final = 0.5
# The part of SHUTDOWN_TIMEOUT_SEC that is reserved for closing the clients.
_CLOSE_SEC: Final = 0.5
# The share of SHUTDOWN_TIMEOUT_SEC in which the workers finish what they have in hand. Another process does the rest:
# rows and messages are released.
_FINISH_SHARE: Final = 0.4


def prepare_database(settings: Settings) -> None:
    """Migrates, and checks that both URLs lead to what was migrated.

    Raises `UserError` for what must be corrected first, `DependencyDown` without Postgres or its pooler.
    """
    migrations.migrate(settings.session_url)
    has_sessions = settings.database_pooler == "none"
    check_direct_url(settings.database_url, settings.session_url, has_sessions=has_sessions)


class Service:
    """The process. `start` never waits for a dependency; `drain` ends it in order and in time.

    Unless `migrated` is true, the schema is migrated when Postgres first answers.
    """

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        *,
        migrated: bool = False,
        telemetry: "Telemetry | None" = None,
    ) -> None:
        self._telemetry = telemetry
        self._settings = settings
        self._listener = listener
        self._draining = False
        self._database = Database(settings.database_url, options.pool_options(settings), settings.session_url)
        self._replica = _replica(settings, self._database)
        self._reads: ReadSource = self._replica or self._database
        self._redis = _history_cache(settings, self._database)
        self._switch = CacheSwitch(self._database, settings.online_cache_backend)
        cache: SwitchedCache | None = None
        self._cache_written: SwitchedCache | None = None
        if settings.online_cache_enabled:
            cache, self._cache_written = _switched(settings, self._switch, self._redis)
        self._kafka_probe: KafkaProbe | None = None
        self._migration: DeferredMigration | None = None
        if not migrated:
            self._migration = DeferredMigration(partial(prepare_database, settings), self._migration_waits_for)
        self._generation = ServingGeneration()
        self._monitor = Monitor(self._dependencies())
        self._caches: CandidateCaches | None = None
        self._api: Api | None = None
        if options.ranks(settings):
            from app.roles import lists

            self._caches = lists.candidate_caches(settings, self._reads)
            if "api" in settings.role:
                from app.roles import api

                self._api = api.Api(
                    settings, self._database, self._reads, cache, self._cache_written, self._caches, self.report
                )
        self._stages = self._tasks()
        self._supervisor = Supervisor([task for stage in self._stages for task in stage])

    def start(self) -> None:
        self._supervisor.start()

    def report(self) -> Readiness:
        report = summarize(
            sorted(self._settings.role),
            ProcessInfo(pid=os.getpid(), version=build.VERSION, revision=build.current_revision()),
            self._supervisor.report(),
            self._monitor.report(),
            self._switch.report() if self._settings.online_cache_enabled else None,
            draining=self._draining,
        )
        metrics.API_CHECK.labels("process", "ready").set(report.ready)
        return report

    async def drain(self) -> bool:
        """Turns not ready at once; then ends the tasks, stage by stage, and closes the clients.

        A worker that waits for a silent server is cancelled, and closes its connections while the later stages end.
        True when all of it ended within `SHUTDOWN_TIMEOUT_SEC`.
        """
        self._draining = True
        first, *later = [[task.name for task in stage] for stage in self._stages]
        with anyio.move_on_after(self._settings.shutdown_timeout_sec - _CLOSE_SEC) as scope:
            async with anyio.create_task_group() as group:
                finish_sec = self._settings.shutdown_timeout_sec * _FINISH_SHARE
                group.start_soon(partial(self._supervisor.stop, *first, finish_sec=finish_sec))
                await anyio.sleep(self._settings.shutdown_grace_sec)
            for names in later:
                await self._supervisor.stop(*names)
            await self._supervisor.ended()
        if scope.cancelled_caught:
            await self._supervisor.cancel()
        await self._close()
        return not scope.cancelled_caught

    async def _close(self) -> None:
        if self._api is not None:
            await self._api.close()
        if self._caches is not None:
            await self._caches.close()
        await self._redis.close()
        if self._kafka_probe is not None:
            await self._kafka_probe.close()
        if self._replica is not None:
            await self._replica.close(timeout_sec=1.0)
        await self._database.close(timeout_sec=1.0)

    def _tasks(self) -> list[list[TaskSpec]]:
        """The tasks in the order in which they stop: the workers, while HTTP goes on for the grace period; the intake
        and the requests in hand; the buffer with what they left in it, and what follows its flushes; the probe.
        """
        return [
            workers(self._settings, self._database, self._reads, self._cache_written, self._caches),
            [TaskSpec("http-server", self._serve_http, stall_sec=15.0)],
            *(self._api.stages() if self._api is not None else []),
            [
                TaskSpec("health-probe", self._monitor.run, stall_sec=30.0),
                *([TaskSpec("cache-switch", self._switch.run, need="degrades")] if self._cache_written else []),
                *_otlp_metrics(self._telemetry),
            ],
        ]

    def _dependencies(self) -> list[Dependency]:
        settings = self._settings
        found = [Dependency("postgres", self._probe_postgres, lambda: "required")]
        # Shown while it is wrong.
        found.append(Dependency("clock", clock.check, lambda: "degrades" if clock.is_wrong() else None))
        if self._replica is not None:
            found.append(Dependency("postgres-read", self._replica.probe, lambda: "degrades"))
        if settings.role & {"relay", "consumer"}:
            self._kafka_probe = KafkaProbe(options.kafka_options(settings))
            # The API accepts and stores events without Kafka: the outbox keeps them.
            kafka: Requirement = "degrades" if "api" in settings.role else "required"
            found.append(Dependency("kafka", self._kafka_probe, lambda: kafka))
        if settings.online_cache_enabled:
            found.append(Dependency("redis", self._redis.probe, self._need_of_redis))
        return found

    def _need_of_redis(self) -> Requirement | None:
        if not self._switch.redis_is_written:
            return None
        strict = self._settings.online_cache_strict_backend and "api" in self._settings.role
        return "required" if strict and self._switch.backend == "redis" else "degrades"

    async def _probe_postgres(self) -> None:
        await self._database.probe()
        if self._migration is not None:
            await self._migration.wait()
            self._migration = None
        await self._database.open()
        if not self._database.sequences_checked:
            async with self._database.connection() as connection:
                if behind := await sequences.advance(connection):
                    _log.warning("sequences_advanced", tables=behind)
            self._database.sequences_checked = True
        # Sums that this release cannot read or add to: not ready, with what differs and the way out.
        async with self._database.connection() as connection:
            await self._generation.follow(connection)

    async def _migration_waits_for(self) -> str | None:
        async with self._database.probing() as connection:
            return await migrations.waits_for(connection)

    async def _serve_http(self, stop: asyncio.Event, progress: Progress) -> None:
        settings = self._settings
        handlers = health.handlers(self.report, self._supervisor.wedged)
        served = app.build(
            handlers if self._api is None else [*handlers, *self._api.handlers()],
            app.Options(
                timeout_sec=settings.http_request_timeout_sec,
                cors_allow_origins=settings.cors_allow_origins,
                access=Access() if self._api is None else self._api.access,
                draining=lambda: self._draining,
                examples={} if self._api is None else self._api.examples,
            ),
        )
        await server.serve(
            served,
            self._listener,
            stop,
            progress,
            grace_sec=settings.shutdown_grace_sec,
            drain_sec=settings.shutdown_timeout_sec / 2,
            trusted_proxies=settings.http_trusted_proxies,
            max_connections=connections.allowed(settings.http_max_connections, settings.db_pool_max_size),
        )


def _replica(settings: Settings, primary: Database) -> ReadReplica | None:
    """None where nothing is read of lists or analytics, or all of it from the primary."""
    if not settings.database_read_url or not options.ranks(settings):
        return None
    replica = Database(for_reads(settings.database_read_url), options.pool_options(settings))
    return ReadReplica(primary, replica, max_lag_sec=settings.database_read_max_lag_sec)


def _otlp_metrics(telemetry: "Telemetry | None") -> list[TaskSpec]:
    if telemetry is None or not telemetry.sends_metrics:
        return []
    return [TaskSpec("otlp-metrics", telemetry.run, need="degrades", stall_sec=telemetry.every_sec + 30.0)]


def _history_cache(settings: Settings, database: Database) -> RedisHistoryCache | SlotHistoryCache:
    url = settings.online_cache_redis_url
    address, key_prefix = address_of(url), options.cache_key_prefix(settings)
    ttl_sec, timeout_sec = settings.online_cache_history_ttl_sec, settings.online_cache_redis_timeout_sec

    # Whoever keeps histories in another database, or under another prefix, has another cache, as on another server.
    async def confirm_slots(servers: Mapping[int, str], went_back: Collection[int]) -> Mapping[int, bytes]:
        places = {group: f"{server} {key_prefix}" for group, server in servers.items()}
        async with database.connection() as connection:
            return await cache_epoch.confirm_slots(connection, places, went_back)

    if isinstance(address, ClusterAddress):
        return SlotHistoryCache(
            address, key_prefix=key_prefix, ttl_sec=ttl_sec, timeout_sec=timeout_sec, confirm=confirm_slots
        )
    number = address.number

    async def confirm(redis: str, went_back: bool) -> bytes:
        async with database.connection() as connection:
            return await cache_epoch.confirm(connection, f"{redis} {number} {key_prefix}", went_back=went_back)

    return RedisHistoryCache(url, key_prefix=key_prefix, ttl_sec=ttl_sec, timeout_sec=timeout_sec, confirm=confirm)


def _switched(
    settings: Settings, switch: CacheSwitch, redis: RedisHistoryCache | SlotHistoryCache
) -> tuple[SwitchedCache, SwitchedCache]:
    """The cache as answers read and fill it, and as the changes of histories are written to it."""
    memory = MemoryHistoryCache(
        ttl_sec=min(settings.online_cache_history_ttl_sec, _MEMORY_HISTORY_TTL_SEC),
        max_keys=settings.online_cache_memory_max_keys,
    )
    return (
        SwitchedCache(switch, redis, memory, writes_through=False),
        SwitchedCache(switch, redis, memory, writes_through=True),
    )
