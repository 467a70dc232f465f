"""The parts of each role: its supervised tasks, and the routes of the API. The wiring opens the clients."""

from collections.abc import Callable, Sequence
from typing import Final

from litestar.handlers import HTTPRouteHandler

from app import metrics, options
from app.adapters import ingest as ingest_adapter
from app.adapters.history_cache import HistoryCache
from app.adapters.ingest import Inserted, InsertStatus
from app.adapters.postgres import Database
from app.adapters.rate_limit import RateLimiter
from app.api import (
    analytics,
    dead_letters,
    ingest,
    items,
    model,
    posted_lists,
    reco_batch,
    recommendations,
    root,
    rules,
    segment,
    users,
    variant_list,
)
from app.api.refused_keys import RefusedKeys
from app.console import live, page, sign_in
from app.console.flow_sampler import FlowSampler
from app.console.sessions import ConsoleSessions
from app.core.events import Record
from app.core.segment_rules import with_built_in
from app.core.variants import Variants
from app.errors import BufferFull, Closed
from app.health import Readiness, Requirement
from app.http.access import Access
from app.http.sla import SlaWindow
from app.http.wrong_keys import WrongKeys
from app.ingest.group_commit import GroupCommit
from app.ingest.notifier import Notifier
from app.serving.candidate_caches import CandidateCaches
from app.serving.change_feed import ChangeFeed
from app.serving.histories import Histories
from app.serving.own_writes import OwnWrites
from app.serving.recommender import Recommender
from app.settings import Settings
from app.supervisor import TaskSpec
from workers.consumer import FeatureConsumer
from workers.learner import LearnerTask
from workers.maintenance import Maintenance
from workers.relay import Relay
from workers.sampler import Sampler
from workers.traces import LateFeatures

_BEACON_PATH: Final = "/log/batch"
# Lists that only the learner reads are reloaded in a twenty-fifth of the time.
_LEARNERS_RELOAD_THROTTLE: Final = 24.0


def candidate_caches(settings: Settings, database: Database) -> CandidateCaches | None:
    """What the API ranks from, and the learner of the same process; None: the roles have neither."""
    serves = "api" in settings.role
    if not serves and not _learns(settings):
        return None
    return CandidateCaches(
        database,
        related_ttl_sec=settings.online_cache_related_ttl_sec,
        popularity_ttl_sec=settings.online_cache_popularity_ttl_sec,
        max_keys=settings.online_cache_memory_max_keys,
        catalogue_only=settings.catalogue_only,
        **({} if serves else {"reload_throttle": _LEARNERS_RELOAD_THROTTLE}),
    )


def _learns(settings: Settings) -> bool:
    return "consumer" in settings.role and settings.ranking_learning != "off"


def _change_feed(database: Database, caches: CandidateCaches, histories: Histories | None = None) -> TaskSpec:
    """Without it what is read is only less fresh."""

    def outdate(change: Sequence[str]) -> None:
        caches.outdate(change)
        if histories is not None:
            histories.outdate(change)

    feed = ChangeFeed(database, outdate, caches.outdate_all)
    return TaskSpec("change-feed", feed.run, need="degrades")


def workers(
    settings: Settings, database: Database, cache: HistoryCache | None, caches: CandidateCaches | None
) -> list[TaskSpec]:
    """The tasks of the roles `relay` and `consumer`, and maintenance, which every process runs."""
    kafka = options.kafka_options(settings)
    # Between two beats is at most one transaction, and calls of Kafka and Redis with fixed or shorter deadlines.
    stall_sec = 40.0 + options.pool_options(settings).transaction_timeout_sec
    # An API takes events while the pipeline behind it fails: the outbox keeps them.
    work: Requirement = "degrades" if "api" in settings.role else "required"
    tasks = []
    if "relay" in settings.role:
        relay = Relay(database, kafka, options.relay_options(settings))
        tasks.append(TaskSpec("outbox-relay", relay.run, stall_sec, work=work))
    if "consumer" in settings.role:
        # Members of one group: while Postgres writes the batch of one, another decodes and folds its own (ADR 17).
        late = LateFeatures()
        learner: LearnerTask | None = None
        if caches is not None and _learns(settings):
            learner = LearnerTask(database, Sampler(caches.at_hand, caches.table), settings.ranking_learning)
            tasks.append(TaskSpec("learner", learner.run, need="degrades", work="degrades"))
            if "api" not in settings.role:
                tasks.append(_change_feed(database, caches))
        for number in range(1, settings.feature_consumer_members + 1):
            consumer = FeatureConsumer(
                database,
                cache,
                kafka,
                options.consumer_options(settings),
                late,
                member=number,
                learner=learner,
            )
            name = "feature-consumer" if number == 1 else f"feature-consumer-{number}"
            tasks.append(TaskSpec(name, consumer.run, stall_sec, work=work))
    maintenance = Maintenance(
        database, cache, options.retention_options(settings), counted_within_sec=settings.events_counted_within_sec
    )
    tasks.append(TaskSpec("maintenance", maintenance.run, stall_sec))
    return tasks


class Api:
    """The role `api`: takes events and answers recommendations. The wiring runs the HTTP server, as in every role."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        cache: HistoryCache | None,
        cache_written: HistoryCache | None,
        caches: CandidateCaches,
        report: Callable[[], Readiness],
    ) -> None:
        self._settings = settings
        self._database = database
        self._cache_written = cache_written
        self._own_writes = OwnWrites(cache, max_events=settings.online_cache_memory_max_keys)
        self._histories = Histories(
            database,
            cache,
            self._own_writes,
            strict_cache=settings.online_cache_strict_backend,
            cache_timeout_sec=settings.online_cache_redis_timeout_sec,
            max_keys=settings.online_cache_memory_max_keys,
        )
        self._recommender = Recommender(
            self._histories,
            caches,
            exploration_share=settings.exploration_share,
            exploration_seed=settings.exploration_seed,
        )
        self._notifier = Notifier(database)
        self._buffer = GroupCommit(
            self._insert,
            self._insert_atomic,
            max_pending=settings.ingest_max_pending_events,
            flush_max=settings.ingest_flush_max_events,
            flushers=settings.ingest_flushers,
            timeout_sec=settings.ingest_timeout_sec,
            on_stored=self._notifier.announce,
            probe=self._try_insert,
        )
        self._change_feed = _change_feed(database, caches, self._histories)
        self._sla = SlaWindow()
        self._limiter = _limiter(settings)
        self._refused_keys = RefusedKeys(database)
        self._wrong_keys = WrongKeys()
        keys = options.key_source(settings)
        self._sessions = ConsoleSessions(database)
        self._flow = FlowSampler(database, report)
        self.access = Access(
            keys=None if keys is None else keys.current,
            take=None if self._limiter is None else self._limiter.take,
            refused=self._refused_keys.add,
            wrong_keys=self._wrong_keys,
            query_paths=frozenset([_BEACON_PATH] if settings.api_keys_in_query else []),
            session=self._sessions.find,
        )

    def stages(self) -> list[list[TaskSpec]]:
        """The tasks beside the HTTP server, in the order in which they stop after it.

        Without the buffer the process takes no events, so it is not ready. Without the others its answers are only less
        fresh.
        """
        # A flush is a wait for a connection and a few statements, each with its own timeout.
        flush_sec = 30.0 + 2 * self._settings.db_statement_timeout_ms / 1000
        return [
            [TaskSpec("ingest-buffer", self._buffer.run, stall_sec=flush_sec)],
            [
                TaskSpec("ingest-notifier", self._notifier.run, need="degrades"),
                self._change_feed,
                TaskSpec("sla-window", self._sla.run, need="degrades"),
                TaskSpec("refused-keys", self._refused_keys.run, need="degrades"),
            ],
        ]

    def handlers(self) -> list[HTTPRouteHandler]:
        variants = Variants(self._settings.experiment, self._settings.variants)
        return [
            *root.handlers(),
            *ingest.handlers(self._buffer),
            *segment.handlers(self._buffer, with_built_in(self._settings.segment_events)),
            *recommendations.handlers(self._recommender, self._log_impression, variants),
            *posted_lists.handlers(self._recommender, self._log_impression, variants),
            *reco_batch.handlers(self._recommender, variants),
            *items.handlers(self._database),
            *rules.handlers(self._database),
            *users.handlers(self._database, self._cache_written, self._histories.forget),
            *analytics.handlers(self._database, self._sla),
            *model.handlers(self._database),
            *dead_letters.handlers(self._database),
            *variant_list.handlers(variants),
            *page.handlers(),
            *sign_in.handlers(self._sessions, self.access),
            *live.handlers(self._flow),
        ]

    async def close(self) -> None:
        self._wrong_keys.log()
        await self._flow.close()
        await self._histories.close()
        if self._limiter is not None:
            await self._limiter.close()

    async def _insert(self, records: Sequence[Record]) -> list[InsertStatus]:
        async with self._database.connection() as connection:
            inserted = await ingest_adapter.insert_events(connection, records)
        await self._add_own_writes(records, inserted)
        return inserted.statuses

    async def _insert_atomic(self, records: Sequence[Record]) -> list[InsertStatus]:
        async with self._database.connection() as connection:
            inserted = await ingest_adapter.insert_all_or_none(connection, records)
        if "conflict" not in inserted.statuses:
            await self._add_own_writes(records, inserted)
        return inserted.statuses

    async def _add_own_writes(self, records: Sequence[Record], inserted: Inserted) -> None:
        """After the commit and before the answer, so that the client's next request finds them."""
        accepted = [record for record, status in zip(records, inserted.statuses, strict=True) if status == "accepted"]
        await self._own_writes.add(accepted, erasures=inserted.erasures)

    async def _try_insert(self) -> None:
        async with self._database.connection() as connection:
            await ingest_adapter.try_insert(connection)

    def _log_impression(self, record: Record) -> None:
        try:
            self._buffer.submit((record,))
        except (BufferFull, Closed):
            metrics.INGEST_EVENTS.labels("impression_dropped").inc()


def _limiter(settings: Settings) -> RateLimiter | None:
    if settings.rate_limit_requests == 0:
        return None
    shared = settings.online_cache_enabled and settings.online_cache_backend == "redis"
    return RateLimiter(
        limit=settings.rate_limit_requests,
        window_sec=settings.rate_limit_window_sec,
        redis_url=settings.online_cache_redis_url if shared else None,
        key_prefix=options.cache_key_prefix(settings),
        timeout_sec=settings.online_cache_redis_timeout_sec,
    )
