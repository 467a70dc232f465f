"""The gauges of what is in Postgres: backlogs, its state, and what was shown. Each raises `DependencyDown`."""

from datetime import UTC, datetime, timedelta
from typing import Final

from app import metrics
from app.adapters import analytics, dead_letters, outbox, statistics
from app.adapters.postgres import Database

_KPI_DAYS: Final = 7


async def observe_outbox(database: Database) -> None:
    async with database.connection() as connection:
        rows = await outbox.backlog(connection)
    metrics.OUTBOX_BACKLOG.labels("pending").set(rows.pending)
    metrics.OUTBOX_BACKLOG.labels("dead").set(rows.dead)
    metrics.OUTBOX_OLDEST.set(rows.oldest_pending_ms)


async def observe_dead_letters(database: Database) -> None:
    """And counts those that commands resolved."""
    async with database.connection() as connection:
        letters = {entry.status: entry for entry in await dead_letters.backlog(connection)}
        for status in ("pending", "replayed", "discarded"):
            metrics.DLQ_BACKLOG.labels(status).set(letters[status].events if status in letters else 0)
        metrics.DLQ_OLDEST.set(letters["pending"].oldest_ms if "pending" in letters else 0)
        resolved = await dead_letters.take_resolved(connection)
    for status, count in resolved.items():
        metrics.DLQ_EVENTS.labels(status).inc(count)


async def observe_postgres(database: Database) -> None:
    async with database.connection() as connection:
        state = await statistics.read(connection)
    metrics.DATABASE_OLDEST_TRANSACTION.set(state.oldest_transaction_sec)
    for table, dead_rows in state.dead_rows.items():
        metrics.DATABASE_DEAD_ROWS.labels(table).set(dead_rows)


async def observe_kpis(database: Database) -> None:
    """Impressions and clicks of the last days, by source."""
    after = datetime.now(UTC).date() - timedelta(days=_KPI_DAYS)
    async with database.connection() as connection:
        sources = await analytics.read_sources(connection, after)
        items = await analytics.read_items(connection, after, [analytics.ANY])
        catalogue = await analytics.catalogue_size(connection)
    # Without the sources that were not shown in these days any more.
    metrics.KPI_SHOWN.clear()
    metrics.KPI_CLICKED.clear()
    for source, (shown, clicked) in sources.items():
        metrics.KPI_SHOWN.labels(source).set(shown)
        metrics.KPI_CLICKED.labels(source).set(clicked)
    metrics.KPI_ITEMS_SHOWN.set(items.get(analytics.ANY, 0))
    metrics.KPI_CATALOGUE.set(catalogue)
