"""Retention: deletes expired rows in small batches.

Each event counts once because its dedupe row outlives every copy of its message. Copies come from clients
(an event's own time is at most 7 days back), from Kafka (its retention, 7 days as we make the topics) and from replays
(dead rows and dead letters were never counted, and are checked against what was). Hence 14 days at least.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

import asyncpg
from msgspec import Struct

from app import metrics
from app.adapters import analytics, retention
from app.adapters.postgres import Database
from app.adapters.postgres_errors import reason_of
from app.adapters.retention import Table
from app.core.batch_size import BatchSize
from app.errors import DependencyDown, TooLarge

_EVERY_SEC: Final = 30.0
_BATCH: Final = 2000
_BATCH_SEC: Final = 0.4
# One turn ends after this time even if more rows are due: the gauges of the same task must not wait for it.
_TURN_SEC: Final = 1.0
# Between two batches the server serves those who wait for an answer.
_PAUSE_SEC: Final = 0.02
_DAY_SEC: Final = 86_400.0
# Those that expire by the day, and a small one without an index by time.
_SELDOM: Final[frozenset[Table]] = frozenset(
    {
        "analytics_shown",
        "analytics_watches",
        "analytics_variants",
        "analytics_conversions",
        "analytics_revenue",
        "analytics_coverage",
        "rule_changes",
    }
)
_SELDOM_EVERY_SEC: Final = 3600.0
# Their experiment says when; this is only longer than a transaction that began before it did.
_UNTIL_KEPT_DAYS: Final = 0.01


class RetentionOptions(Struct, frozen=True, kw_only=True):
    """Days that rows are kept: events, dedupe rows, the audit log, sessions, dead letters and dead rows once resolved;
    histories and items after their last event; and pairs, of which each item keeps its best ones for longer.
    """

    events_days: float
    dedupe_days: float
    resolved_days: float
    audit_days: float
    sessions_days: float
    histories_days: float
    items_days: float
    pairs_days: float
    pairs_per_item: int
    lock_timeout_ms: int
    """How long those who count wait for a lock."""


class Retention:
    """`sweep` is one turn of the task `maintenance`; any number of processes may take turns at once."""

    def __init__(self, database: Database, options: RetentionOptions) -> None:
        self._database = database
        self._keep_days: Mapping[Table, float] = {
            "feature_event_consumed": options.dedupe_days,
            "events": options.events_days,
            "feature_consumer_dlq": options.resolved_days,
            "event_outbox": options.resolved_days,
            "sessions": options.sessions_days,
            "analytics_shown": analytics.KEEP_DAYS,
            "analytics_watches": analytics.KEEP_DAYS,
            "analytics_variants": analytics.KEEP_DAYS,
            "analytics_conversions": analytics.KEEP_DAYS,
            "analytics_revenue": analytics.KEEP_DAYS,
            "analytics_coverage": analytics.KEEP_DAYS,
            "experiment_users": _UNTIL_KEPT_DAYS,
            "audit_log": options.audit_days,
            "rule_changes": options.audit_days,
        }
        self._sizes = {table: BatchSize(_BATCH, _BATCH_SEC) for table in self._keep_days}
        self._due: dict[Table, float] = dict.fromkeys(self._keep_days, 0.0)
        self._failing: dict[Table, str] = {}

    async def sweep(self) -> dict[Table, int]:
        """Deletes expired rows for about a second; returns how many of each table that was due.

        The tables take turns of one batch each, the one that waits longest first, so that a large backlog in one does
        not hold up the others, nor does one whose rows cannot be deleted. A table with rows left is due again at once.
        Raises `DependencyDown` after that, as long as the last try of a table failed.
        """
        deleted: dict[Table, int] = {}
        ends = time.monotonic() + _TURN_SEC
        while (now := time.monotonic()) < ends:
            table = min(self._due, key=self._due.__getitem__)
            if self._due[table] > now:
                break
            count, has_more = await self._try_batch(table)
            deleted[table] = deleted.get(table, 0) + count
            wait_sec = 0.0
            if not has_more:
                waits_long = table in _SELDOM and table not in self._failing
                wait_sec = _SELDOM_EVERY_SEC if waits_long else _EVERY_SEC
            self._due[table] = time.monotonic() + wait_sec
            await asyncio.sleep(_PAUSE_SEC)
        if self._failing:
            raise DependencyDown("postgres", "; ".join(f"{table}: {why}" for table, why in self._failing.items()))
        return deleted

    async def _try_batch(self, table: Table) -> tuple[int, bool]:
        """How many rows were deleted, and whether more may be due. A table whose batch fails is kept as failing, unless
        a smaller one may pass.
        """
        started, limit = time.monotonic(), self._sizes[table].limit
        try:
            count = await self._delete_batch(table, limit)
        except (DependencyDown, asyncpg.PostgresError) as error:
            if isinstance(error, TooLarge) and limit > 1:
                self._sizes[table].too_large(limit)
                return 0, True
            self._failing[table] = error.reason if isinstance(error, DependencyDown) else reason_of(error)
            return 0, False
        self._failing.pop(table, None)
        self._sizes[table].fitted(count, time.monotonic() - started)
        return count, count == limit

    async def _delete_batch(self, table: Table, limit: int) -> int:
        older_sec = self._keep_days[table] * _DAY_SEC
        async with self._database.connection() as connection:
            count = await retention.delete_batch(connection, table, older_sec=older_sec, limit=limit)
        metrics.MAINTENANCE_DELETED.labels(table).inc(count)
        return count
