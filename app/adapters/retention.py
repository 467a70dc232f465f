"""Deletes expired rows, a few per statement, so that no other statement waits for long."""

from typing import TYPE_CHECKING, Final, Literal

from app.adapters import sql

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

Table = Literal[
    "events",
    "feature_event_consumed",
    "feature_consumer_dlq",
    "event_outbox",
    "sessions",
    "analytics_shown",
    "analytics_watches",
    "analytics_variants",
    "analytics_conversions",
    "analytics_revenue",
    "analytics_coverage",
    "experiment_users",
    "audit_log",
    "rule_changes",
]

_SQL: Final = sql.load(__file__)


async def delete_batch(connection: "Connection", table: Table, *, older_sec: float, limit: int) -> int:
    """Deletes up to `limit` rows older than `older_sec`; returns how many."""
    status: str = await connection.execute(_SQL[table], older_sec, limit)
    return int(status.removeprefix("DELETE "))
