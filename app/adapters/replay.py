"""Dead outbox rows and dead letters as an operator sees them: look, send again, give up. For commands, so synchronous.

Each call is one transaction. What it changes is a status and, for dead letters, an outbox row beside it, so that an
interruption between calls leaves nothing half done, and a second run finds what the first has left. The audit log has a
row for each call that changed something.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

import psycopg
from msgspec import Struct
from psycopg.rows import dict_row

from app.adapters import audit, sql
from app.adapters.dead_letters import readable
from app.core.events import TOPIC_IMPRESSIONS, TOPIC_INTERACTIONS, TOPIC_WATCHES
from app.core.replay import DEDUPE_DAYS_LEAST

_SQL: Final = sql.load(__file__)

ReplaySource = Literal["outbox", "dlq"]


class Filters(Struct, frozen=True, kw_only=True):
    """Which rows; None means any. `status` and `sendable_only` are for dead letters alone: no whole batches, none whose
    bytes an erasure has removed, and none that have been counted, or may have been without a dedupe row that tells.
    `until`: only what failed up to then, so that what comes back from a replay meanwhile is not sent again by the same
    one.
    """

    status: str = "pending"
    ids: Sequence[int] | None = None
    topic: str | None = None
    error: str | None = None
    event_id: str | None = None
    older_sec: float | None = None
    newer_sec: float | None = None
    until: datetime | None = None
    sendable_only: bool = False


class Found(Struct, frozen=True):
    """A row that matches. `replays`: how often it, or what it came from, was sent again before."""

    id: int
    topic: str
    event_id: str | None
    replays: int
    at: datetime | None
    error: str | None
    message_key: bytes | None


def now(connection: psycopg.Connection) -> datetime:
    """The database's clock, which says when a row failed."""
    row = connection.execute(_SQL["now"].encode()).fetchone()
    assert row is not None  # it has no FROM
    found: datetime = row[0]
    return found


def find(
    connection: psycopg.Connection, source: ReplaySource, filters: Filters, *, after: int, limit: int
) -> list[Found]:
    """The next rows by id, locked in the caller's transaction; those that somebody else holds are passed over."""
    statement = _SQL["dead_rows" if source == "outbox" else "letters"]
    return [
        Found(*row) for row in connection.execute(statement.encode(), arguments_of(filters, after=after, limit=limit))
    ]


def arguments_of(filters: Filters, *, after: int, limit: int) -> dict[str, Any]:
    """What the statements `dead_rows` and `letters` take, by name."""
    return {
        "status": filters.status,
        "ids": None if filters.ids is None else list(filters.ids),
        "topic": filters.topic,
        "error": filters.error,
        "event_id": filters.event_id,
        "older_sec": filters.older_sec,
        "newer_sec": filters.newer_sec,
        "until": filters.until,
        "sendable_only": filters.sendable_only,
        "known_days": DEDUPE_DAYS_LEAST,
        "after": after,
        "limit": limit,
    }


def requeue(
    connection: psycopg.Connection, source: ReplaySource, found: Sequence[Found], *, status: str, by: str
) -> int:
    """Sends these again; returns how many. Dead letters that were counted since are marked as replayed, not sent."""
    ids = [row.id for row in found]
    with connection.transaction():
        if source == "outbox":
            sent = connection.execute(_SQL["requeue_rows"].encode(), {"ids": ids}).rowcount
        else:
            keys = [readable(row.message_key) or "" for row in found]
            rows = connection.execute(
                _SQL["requeue_letters"].encode(), {"ids": ids, "keys": keys, "status": status, "by": by}
            ).fetchall()
            sent = sum(not counted for _, counted in rows)
        audit.record_of_command(
            connection,
            "replay_messages",
            _targets(source, ids),
            f"{len(ids)} replayed",
            actor=f"reco replay {source}, {by}",
        )
    return sent


def discard(
    connection: psycopg.Connection, source: ReplaySource, ids: Sequence[int], *, by: str, reason: str
) -> list[int]:
    """Gives these up: the rows stay, with who and why. Returns the ids that were there to be given up."""
    statement = _SQL["discard_rows" if source == "outbox" else "discard_letters"]
    chosen = {"ids": list(ids), "by": by, "reason": reason}
    with connection.transaction():
        done = [row[0] for row in connection.execute(statement.encode(), chosen)]
        if done:
            audit.record_of_command(
                connection,
                "discard_messages",
                _targets(source, done),
                f"{len(done)} discarded",
                actor=f"reco {source} discard, {by}",
            )
    return done


def show(connection: psycopg.Connection, source: ReplaySource, row_id: int) -> dict[str, Any] | None:
    """All that is known of one row; `value` is the message's bytes."""
    statement = _SQL["show_row" if source == "outbox" else "show_letter"]
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement.encode(), {"id": row_id}).fetchone()


def requeue_uncounted(
    connection: psycopg.Connection, *, newer_sec: float, older_sec: float, limit: int, dry_run: bool, by: str
) -> int:
    """Puts accepted events that were lost behind the outbox back into it; returns how many there are.

    `newer_sec` must be less than dedupe rows are kept, or what was counted long ago would be counted again.
    """
    chosen = {
        "newer_sec": newer_sec,
        "older_sec": older_sec,
        "limit": limit,
        "dry_run": dry_run,
        "watches": TOPIC_WATCHES,
        "impressions": TOPIC_IMPRESSIONS,
        "rest": TOPIC_INTERACTIONS,
    }
    with connection.transaction():
        row = connection.execute(_SQL["requeue_events"].encode(), chosen).fetchone()
        assert row is not None  # an aggregate without GROUP BY always has one row
        count: int = row[0]
        if count and not dry_run:
            audit.record_of_command(
                connection, "replay_messages", ["events"], f"{count} replayed", actor=f"reco replay events, {by}"
            )
    return count


def _targets(source: ReplaySource, ids: Sequence[int]) -> list[str]:
    return [f"{source} {row_id}" for row_id in ids]
