"""Opens and closes what the process needs, and turns ROLE into supervised tasks."""

import asyncio
import socket
from typing import Final

import structlog

from app import metrics
from app.adapters import migrations
from app.adapters.history_cache import HistoryCache, MemoryHistoryCache, RedisHistoryCache
from app.adapters.kafka import KafkaOptions, KafkaProbe, TopicOptions
from app.adapters.postgres import Database, PoolOptions
from app.api import health
from app.health import Readiness, summarize
from app.monitor import Dependency, Monitor
from app.serving.candidate_caches import CandidateCaches
from app.serving.histories import Histories
from app.settings import Settings
from app.supervisor import Progress, Supervisor, TaskSpec
from app.web import Web
from workers.consumer import ConsumerOptions, FeatureConsumer
from workers.maintenance import Maintenance
from workers.relay import Relay, RelayOptions
from workers.retention import RetentionOptions

_log = structlog.get_logger(__name__)

# Histories in the process's own memory are written by other processes' consumers too: they must not grow old.
_MEMORY_HISTORY_TTL_SEC: Final = 0.5


class Service:
    """The process. `start` never waits for a dependency; `drain` ends it in order and in time.

    Unless `migrated` says that it was done, the schema is brought up to date when Postgres is first seen.
    """

    def __init__(self, settings: Settings, listener: socket.socket, *, migrated: bool = False) -> None:
        self._settings = settings
        self._listener = listener
        self._draining = False
        self._database = Database(settings.database_url, _pool_options(settings))
        self._cache = _open_cache(settings)
        self._kafka_probe: KafkaProbe | None = None
        self._migrated = migrated
        self._monitor = Monitor(self._dependencies())
        self._histories = Histories(
            self._database,
            self._cache,
            strict_cache=settings.online_cache_strict_backend,
            max_keys=settings.online_cache_memory_max_keys,
        )
        self._caches = CandidateCaches(
            self._database,
            related_ttl_sec=settings.online_cache_related_ttl_sec,
            popularity_ttl_sec=settings.online_cache_popularity_ttl_sec,
            max_keys=settings.online_cache_memory_max_keys,
        )
        self._web = Web(
            settings, self._database, self._cache, self._histories, self._caches, draining=lambda: self._draining
        )
        self._supervisor = Supervisor(self._tasks())

    def start(self) -> None:
        self._supervisor.start()

    def report(self) -> Readiness:
        report = summarize(
            sorted(self._settings.role),
            self._supervisor.report(),
            self._monitor.report(),
            draining=self._draining,
        )
        metrics.API_CHECK.labels("process", "ready").set(report.ready)
        return report

    async def drain(self) -> bool:
        """Not ready at once; then, in order: the workers' batches, HTTP intake and its buffer, the clients.

        True when all of it ended within `SHUTDOWN_TIMEOUT_SEC`.
        """
        self._draining = True
        try:
            async with asyncio.timeout(self._settings.shutdown_timeout_sec - 0.5):
                workers = [name for name in self._supervisor.names if name not in ("http-server", "health-probe")]
                await asyncio.gather(self._supervisor.stop(*workers), asyncio.sleep(self._settings.shutdown_grace_sec))
                await self._supervisor.stop("http-server")
                await self._supervisor.stop("health-probe")
        except TimeoutError:
            await self._supervisor.cancel()
            drained = False
        else:
            drained = True
        await self._close()
        return drained

    async def _close(self) -> None:
        await self._histories.close()
        await self._caches.close()
        await self._web.close()
        if self._cache is not None:
            await self._cache.close()
        if self._kafka_probe is not None:
            await self._kafka_probe.close()
        await self._database.close(timeout_sec=1.0)

    def _tasks(self) -> list[TaskSpec]:
        settings = self._settings
        tasks = [
            TaskSpec("http-server", self._serve_http, stall_sec=15.0),
            TaskSpec("health-probe", self._monitor.run, stall_sec=30.0),
        ]
        if "relay" in settings.role:
            relay = Relay(self._database, kafka_options(settings), _relay_options(settings))
            tasks.append(TaskSpec("outbox-relay", relay.run))
        if "consumer" in settings.role:
            # Members of one group: while Postgres writes the batch of one, another decodes and folds its own (ADR 17).
            for number in range(1, settings.feature_consumer_members + 1):
                consumer = FeatureConsumer(
                    self._database, self._cache, kafka_options(settings), _consumer_options(settings)
                )
                name = "feature-consumer" if number == 1 else f"feature-consumer-{number}"
                tasks.append(TaskSpec(name, consumer.run))
        tasks.append(TaskSpec("maintenance", Maintenance(self._database, _retention(settings)).run))
        return tasks

    def _dependencies(self) -> list[Dependency]:
        settings = self._settings
        found = [Dependency("postgres", self._probe_postgres, "required")]
        if settings.role & {"relay", "consumer"}:
            self._kafka_probe = KafkaProbe(kafka_options(settings))
            # A process that serves the API takes and keeps events without Kafka: the outbox is there for that.
            found.append(Dependency("kafka", self._kafka_probe, "degrades" if "api" in settings.role else "required"))
        if isinstance(self._cache, RedisHistoryCache):
            strict = settings.online_cache_strict_backend and "api" in settings.role
            found.append(Dependency("redis", self._cache.probe, "required" if strict else "degrades"))
        return found

    async def _probe_postgres(self) -> None:
        await self._database.probe()
        if not self._migrated:
            await asyncio.to_thread(migrations.migrate, self._settings.database_url)
            self._migrated = True
        await self._database.open()

    async def _serve_http(self, stop: asyncio.Event, progress: Progress) -> None:
        handlers = health.handlers(self.report, self._supervisor.wedged)
        await self._web.serve(self._listener, handlers, stop, progress)


def _pool_options(settings: Settings) -> PoolOptions:
    return PoolOptions(
        min_size=settings.db_pool_min_size,
        max_size=settings.db_pool_max_size,
        connect_timeout_sec=settings.db_connect_timeout_sec,
        statement_timeout_ms=settings.db_statement_timeout_ms,
        lock_timeout_ms=settings.db_lock_timeout_ms,
        application_name="reco " + ",".join(sorted(settings.role)),
        transaction_timeout_sec=max(
            # The relay publishes inside of its transaction.
            settings.outbox_relay_publish_timeout_sec + 10.0,
            4 * settings.db_statement_timeout_ms / 1000,
        ),
    )


def kafka_options(settings: Settings) -> KafkaOptions:
    return KafkaOptions(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        client_id="reco",
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=settings.kafka_sasl_password,
        ssl_cafile=settings.kafka_ssl_cafile,
    )


def _topics(settings: Settings) -> TopicOptions:
    return TopicOptions(
        prefix=settings.kafka_topic_prefix,
        partitions=settings.kafka_topic_partitions,
        replication_factor=settings.kafka_topic_replication_factor,
    )


def _retention(settings: Settings) -> RetentionOptions:
    return RetentionOptions(
        events_days=settings.retention_events_days,
        dedupe_days=settings.retention_dedupe_days,
        resolved_days=settings.retention_resolved_days,
    )


def _relay_options(settings: Settings) -> RelayOptions:
    return RelayOptions(
        batch_size=settings.outbox_relay_batch_size,
        poll_interval_sec=settings.outbox_relay_poll_interval_ms / 1000,
        publish_timeout_sec=settings.outbox_relay_publish_timeout_sec,
        max_attempts=settings.outbox_max_attempts,
        base_retry_sec=settings.outbox_relay_base_retry_sec,
        max_retry_sec=settings.outbox_relay_max_retry_sec,
        topics=_topics(settings),
    )


def _consumer_options(settings: Settings) -> ConsumerOptions:
    return ConsumerOptions(
        group=settings.kafka_topic_prefix + settings.feature_consumer_group,
        poll_timeout_ms=settings.feature_consumer_poll_timeout_ms,
        max_poll_records=settings.feature_consumer_max_poll_records,
        max_retries_per_message=settings.feature_consumer_max_retries_per_message,
        topics=_topics(settings),
    )


def _open_cache(settings: Settings) -> HistoryCache | None:
    if not settings.online_cache_enabled:
        return None
    if settings.online_cache_backend == "memory":
        return MemoryHistoryCache(
            ttl_sec=min(settings.online_cache_history_ttl_sec, _MEMORY_HISTORY_TTL_SEC),
            max_keys=settings.online_cache_memory_max_keys,
        )
    return RedisHistoryCache(
        settings.online_cache_redis_url,
        ttl_sec=settings.online_cache_history_ttl_sec,
        timeout_sec=settings.online_cache_redis_timeout_sec,
    )
