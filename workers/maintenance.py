"""Maintenance: gauges of backlogs and of Postgres' state, the sums behind the KPIs, retention, unfinished erasures."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Final

import asyncpg
import structlog

from app.adapters import cache_epoch, changes, erasures, features, generations, ranking_models
from app.adapters.history_cache import HistoryCache, Settled, Versioned
from app.adapters.postgres import Database
from app.adapters.postgres_errors import reason_of
from app.errors import DependencyDown
from app.supervisor import Progress, wait_for_stop
from workers import gauges
from workers.gone import GoneRemover
from workers.pair_pruner import PairPruner
from workers.retention import Retention, RetentionOptions
from workers.rollup import Rollup
from workers.spaced_job import SpacedJob
from workers.uncounted import UncountedEvents

_log = structlog.get_logger(__name__)

_EVERY_SEC: Final = 2.0
_KPIS_EVERY_SEC: Final = 30.0
# One turn ends after this time even if more erasures are unfinished: the other jobs must not wait for them.
_ERASING_SEC: Final = 10.0
_FAILURES: Final = (DependencyDown, asyncpg.PostgresError)


class Maintenance:
    """`run` is the supervised task; `turn` is one turn of it."""

    def __init__(
        self,
        database: Database,
        cache: HistoryCache | None,
        keep: RetentionOptions,
        *,
        counted_within_sec: float,
        named_models: Collection[int] = (),
    ) -> None:
        """`named_models`: versions of the ranking's weights that the settings name."""
        self._database = database
        self._named_models = named_models
        self._cache = cache
        self._uncounted = UncountedEvents(database, within_sec=counted_within_sec)
        self._retention = Retention(database, keep)
        self._gone = GoneRemover(database, keep)
        self._pairs = PairPruner(database, keep)
        self._rollup = Rollup(database)
        self._outbox_gauges = SpacedJob(partial(gauges.observe_outbox, database))
        self._kpis = SpacedJob(partial(gauges.observe_kpis, database), every_sec=_KPIS_EVERY_SEC)
        self._erasures_to = 0
        """The number of the last erasure that was to be finished."""
        self._jobs: Mapping[str, Callable[[], Awaitable[object]]] = {
            "the outbox's gauges": self._outbox_gauges,
            "the dead letters' gauges": partial(gauges.observe_dead_letters, database),
            "Postgres' gauges": partial(gauges.observe_postgres, database),
            "pruning the change feed": self._prune_changes,
            "retention": self._retention.sweep,
            "finishing erasures": self.finish_erasures,
            "the roll-up of analytics": self._rollup.catch_up,
            "the look for uncounted events": self._uncounted.look,
            "the KPIs' gauges": self._kpis,
            "removing what is gone": self._gone.sweep,
            "pruning pairs": self._pairs.sweep,
            "keeping versions of the model": self.note_named_models,
        }
        self._failing: dict[str, str] = {}

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        while not stop.is_set():
            await self.turn(progress)
            await wait_for_stop(stop, _EVERY_SEC)

    async def turn(self, progress: Progress) -> None:
        """Does every job once, where Postgres answers at all. A job that fails holds up no other, and `/readyz` names
        it until it works again.

        That is also one whose rows Postgres refuses to change, for a trigger, a constraint or damage, and one that has
        a fault of ours.
        """
        try:
            async with self._database.connection() as connection:
                await connection.execute("SELECT 1")
        except _FAILURES as error:
            progress.beat(f"waiting: {reason_of(error)}")
            return
        for name, job in self._jobs.items():
            progress.beat(self._detail)
            try:
                await job()
            except Exception as error:  # also a fault of ours, which would end the other jobs, too
                if name not in self._failing:
                    fault = None if isinstance(error, _FAILURES) else error
                    _log.warning("maintenance_fails", job=name, error=reason_of(error), exc_info=fault)
                self._failing[name] = reason_of(error)
            else:
                if self._failing.pop(name, None) is not None:
                    _log.info("maintenance_resumes", job=name)
        progress.beat(self._detail)

    @property
    def _detail(self) -> str | None:
        failing = [f"{name} fails: {error}" for name, error in self._failing.items()]
        return "; ".join([*failing, *filter(None, [self._rollup.detail, self._uncounted.detail])]) or None

    async def _prune_changes(self) -> None:
        async with self._database.connection() as connection:
            await changes.prune(connection)

    async def note_named_models(self) -> None:
        """Keeps the versions that the settings name from being pruned. Raises `DependencyDown`."""
        if self._named_models:
            async with self._database.connection() as connection:
                await ranking_models.note_named(connection, self._named_models)

    async def finish_erasures(self) -> int:
        """Finishes erasures that a process left unfinished, for some seconds; returns the number of removed events.

        The next turn goes on behind the last one, so that neither one whose rows cannot be removed nor one with very
        many holds up the others. Raises `DependencyDown`, and asyncpg's error of such rows.
        """
        async with self._database.connection() as connection:
            unfinished = await erasures.unfinished(connection, after=self._erasures_to)
            if not unfinished:
                return 0
            serving = await generations.serving(connection)
            stored = await features.read_histories(connection, [erasure.user_id for erasure in unfinished])
        # A version is at least the milliseconds at which its row was made: above the rows of before the erasure.
        erased = {one.user_id: Versioned(int(one.erased_at.timestamp() * 1000), b"") for one in unfinished}
        await cache_epoch.write_through(
            self._database,
            self._cache,
            erased | stored,
            serving[0] if serving else None,
            Settled(erased={one.user_id: one.number for one in unfinished}),
        )
        ended = await erasures.await_writers(self._database, unfinished)
        until = time.monotonic() + _ERASING_SEC
        removed, refused = erasures.Removed(), None
        for erasure in unfinished:
            self._erasures_to = erasure.number
            try:
                await erasures.remove(self._database, erasure, removed, ended=ended, until=until)
            except asyncpg.PostgresError as error:
                refused = error
            if time.monotonic() >= until:
                break
        if refused is not None:
            raise refused
        return removed.events
