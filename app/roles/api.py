"""The role `api`: takes events and answers recommendations."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from litestar.handlers import HTTPRouteHandler

from app import metrics, options
from app.adapters import ingest as ingest_adapter
from app.adapters.history_cache import HistoryCache
from app.adapters.ingest import Inserted, InsertStatus
from app.adapters.postgres import Database
from app.adapters.rate_limit import RateLimiter
from app.adapters.read_replica import ReadSource
from app.api import (
    analytics,
    attributes,
    conversions,
    dead_letters,
    event_types,
    experiments,
    ingest,
    item_list,
    items,
    merging,
    model,
    model_versions,
    placements,
    posted_lists,
    reco_batch,
    recommendations,
    root,
    rule_history,
    rule_preview,
    rules,
    sample_size,
    segment,
    users,
    variant_list,
)
from app.api.browser_events import BrowserEvents
from app.api.examples import EXAMPLES
from app.api.gorse import feedback as gorse_feedback
from app.api.gorse import items as gorse_items
from app.api.gorse import lists as gorse_lists
from app.api.gorse import users as gorse_users
from app.api.refused_keys import RefusedKeys
from app.console import live, page, sign_in
from app.console.flow_sampler import FlowSampler
from app.console.sessions import ConsoleSessions
from app.core.events import Record
from app.core.gorse_types import with_usual_names
from app.core.segment_rules import with_built_in
from app.core.variants import Variants
from app.core.visitor_limits import VisitorLimits
from app.errors import BufferFull, Closed
from app.health import Readiness
from app.http.access import Access
from app.http.sla import SlaWindow
from app.http.visitors import Visitors
from app.http.wrong_keys import WrongKeys
from app.ingest.group_commit import GroupCommit
from app.ingest.notifier import Notifier
from app.ingest.spans import with_flush_span
from app.roles.lists import change_feeds
from app.serving.candidate_caches import CandidateCaches
from app.serving.histories import Histories
from app.serving.history_probe import HistoryProbe
from app.serving.known_event_types import KnownEventTypes
from app.serving.known_items import KnownItems
from app.serving.own_writes import OwnWrites
from app.serving.recommender import Recommender
from app.serving.running_experiments import RunningExperiments
from app.serving.warm_up import WarmUp
from app.settings import Settings
from app.supervisor import TaskSpec

_BEACON_PATH: Final = "/log/batch"
# Many times what a catalogue of 100,000 items takes.
_WARM_UP_SEC: Final = 300.0


class Api:
    """Its tasks and routes. The wiring runs the HTTP server, as in every role."""

    examples: Final[dict[type, Any]] = EXAMPLES
    """Of each body, for the OpenAPI document."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        reads: ReadSource,
        cache: HistoryCache | None,
        cache_written: HistoryCache | None,
        caches: CandidateCaches,
        report: Callable[[], Readiness],
    ) -> None:
        self._settings = settings
        self._database = database
        self._cache_written = cache_written
        self._types = KnownEventTypes(database)
        self._experiments = RunningExperiments(database, Variants(settings.experiment, settings.variants))
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
            types=self._types,
        )
        self._notifier = Notifier(database)
        self._warm_up = WarmUp(caches)
        self._buffer = GroupCommit(
            with_flush_span(self._insert),
            with_flush_span(self._insert_atomic),
            max_pending=settings.ingest_max_pending_events,
            flush_max=settings.ingest_flush_max_events,
            flushers=settings.ingest_flushers,
            timeout_sec=settings.ingest_timeout_sec,
            on_stored=self._notifier.announce,
            probe=self._try_insert,
        )
        self._reads = reads
        self._known_items = KnownItems(database, caches.cards)
        self._change_feeds = change_feeds(database, reads, caches, self._histories, [self._types, self._experiments])
        self._sla = SlaWindow()
        self._limiter = _limiter(settings)
        self._refused_keys = RefusedKeys(database)
        self._wrong_keys = WrongKeys()
        keys = options.key_source(settings)
        self._sessions = ConsoleSessions(database)
        self._visitors = _visitors(settings)
        self._flow = FlowSampler(database, report)
        self.access = Access(
            keys=None if keys is None else keys.current,
            take=None if self._limiter is None else self._limiter.take,
            refused=self._refused_keys.add,
            wrong_keys=self._wrong_keys,
            query_paths=frozenset([_BEACON_PATH] if settings.api_keys_in_query else []),
            session=self._sessions.find,
            visitors=self._visitors,
            exposed=self._refused_keys.expose,
        )

    def stages(self) -> list[list[TaskSpec]]:
        """The tasks beside the HTTP server, in the order in which they stop after it.

        Without the buffer the process takes no events, so it is not ready; nor is it before what the first lists need
        is read. Without the others its answers are only less fresh.
        """
        # A flush is a wait for a connection and a few statements, each with its own timeout.
        flush_sec = 30.0 + 2 * self._settings.db_statement_timeout_ms / 1000
        return [
            [TaskSpec("ingest-buffer", self._buffer.run, stall_sec=flush_sec)],
            [
                TaskSpec("ingest-notifier", self._notifier.run, need="degrades"),
                *self._change_feeds,
                TaskSpec("warm-up", self._warm_up.run, stall_sec=_WARM_UP_SEC, warms_up=True),
                TaskSpec("histories", HistoryProbe(self._database).run, need="degrades", work="degrades"),
                TaskSpec("sla-window", self._sla.run, need="degrades"),
                TaskSpec("refused-keys", self._refused_keys.run, need="degrades"),
            ],
        ]

    def handlers(self) -> list[HTTPRouteHandler]:
        running = self._experiments
        return [
            *root.handlers(),
            *ingest.handlers(
                self._buffer,
                self._database,
                self._types,
                self._settings.event_times,
                BrowserEvents(
                    self._known_items.among if self._settings.browser_catalogue_only else None, self._visitors.charge
                ),
            ),
            *segment.handlers(
                self._buffer,
                self._database,
                partial(merging.join_new, self._database, self._cache_written),
                with_built_in(self._settings.segment_events),
                self._types,
                self._settings.event_times,
            ),
            *event_types.handlers(self._database, self._types),
            *recommendations.handlers(self._recommender, self._log_impression, running, self._types),
            *placements.handlers(self._recommender, running, self._types),
            *posted_lists.handlers(self._recommender, self._log_impression, running, self._types),
            *reco_batch.handlers(self._recommender, running, self._types),
            *items.handlers(self._database),
            *item_list.handlers(self._database, self._recommender.filter_of),
            *attributes.handlers(self._database),
            *rules.handlers(self._database),
            *rule_history.handlers(self._database),
            *rule_preview.handlers(self._database, self._recommender),
            *experiments.handlers(self._database, self._reads, running),
            *sample_size.handlers(),
            *users.handlers(self._database, self._cache_written, self._histories.forget),
            *merging.handlers(self._database, self._cache_written),
            *analytics.handlers(self._database, self._reads, self._sla),
            *conversions.handlers(self._reads),
            *model.handlers(self._database),
            *model_versions.handlers(self._database),
            *dead_letters.handlers(self._database),
            *variant_list.handlers(running),
            *page.handlers(),
            *sign_in.handlers(self._sessions, self.access),
            *live.handlers(self._flow),
            *(self._gorse() if self._settings.gorse_api else []),
        ]

    def _gorse(self) -> list[HTTPRouteHandler]:
        types = with_usual_names(self._settings.gorse_feedback)
        return [
            *gorse_feedback.handlers(self._buffer, self._database, types),
            *gorse_items.handlers(self._database),
            *gorse_users.handlers(self._database, self._cache_written, self._histories.forget),
            *gorse_lists.handlers(self._recommender, self._log_impression, self._experiments, self._database, types),
        ]

    async def close(self) -> None:
        self._wrong_keys.log()
        await self._flow.close()
        await self._histories.close()
        await self._types.close()
        await self._experiments.close()
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

    async def _try_insert(self, record: Record | None) -> None:
        async with self._database.connection() as connection:
            await ingest_adapter.try_insert(connection, record)

    def _log_impression(self, record: Record) -> None:
        try:
            self._buffer.submit((record,))
        except (BufferFull, Closed):
            metrics.INGEST_EVENTS.labels("impression_dropped").inc()


def _visitors(settings: Settings) -> Visitors:
    limits = VisitorLimits(
        per_minute=settings.browser_requests_per_minute, new_per_minute=settings.browser_new_visitors_per_minute
    )
    return Visitors(options.token_secrets(settings).current, limits)


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
