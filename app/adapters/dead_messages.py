"""Dead rows and dead letters for the API: a page of them, one of them, and what is done with many.

The statements that change something are those of `reco replay` (`replay.sql`), so that both do the same.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from app.adapters import replay, sql
from app.adapters.dead_letters import readable
from app.adapters.replay import Filters, Found, ReplaySource

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)
_REPLAY: Final = {name: sql.numbered(text) for name, text in sql.load(replay.__file__).items()}

MAX_COUNTED: Final = 100_000


class Wanted(Struct, frozen=True, kw_only=True):
    """Which of them; None means any. `error`: text that the error contains."""

    status: str
    topic: str | None = None
    error: str | None = None
    event_id: str | None = None


class DeadMessage(Struct, frozen=True, kw_only=True):
    """One row. `kind`: `refused` by Kafka, or why the consumer could not count it: `decode`, `data` or `batch`."""

    id: int
    status: str
    topic: str
    event_id: str | None
    replays: int
    attempts: int
    failed_at: datetime | None
    kind: str
    error: str | None


async def read_page(
    connection: "Connection", source: ReplaySource, wanted: Wanted, *, after: int, limit: int
) -> list[DeadMessage]:
    """The next ones by id."""
    statement = _SQL["page_rows" if source == "outbox" else "page_letters"]
    rows = await connection.fetch(statement, *_filters(wanted), after, limit)
    return [DeadMessage(**dict(row)) for row in rows]


async def count(connection: "Connection", source: ReplaySource, wanted: Wanted) -> int:
    """How many there are, counted up to `MAX_COUNTED`."""
    statement = _SQL["count_rows" if source == "outbox" else "count_letters"]
    counted: int = await connection.fetchval(statement, *_filters(wanted), MAX_COUNTED)
    return counted


async def read_one(connection: "Connection", source: ReplaySource, row_id: int) -> dict[str, Any] | None:
    """All that is known of one; `value` is the message's bytes."""
    text, names = _REPLAY["show_row" if source == "outbox" else "show_letter"]
    row = await connection.fetchrow(text, *(row_id for _ in names))
    return None if row is None else dict(row)


async def lock(
    connection: "Connection", source: ReplaySource, filters: Filters, *, after: int, limit: int
) -> list[Found]:
    """The next ones by id, locked in the caller's transaction; those that somebody else holds are passed over."""
    text, names = _REPLAY["dead_rows" if source == "outbox" else "letters"]
    arguments = replay.arguments_of(filters, after=after, limit=limit)
    return [Found(*row) for row in await connection.fetch(text, *(arguments[name] for name in names))]


async def requeue(
    connection: "Connection", source: ReplaySource, found: Sequence[Found], *, status: str, by: str
) -> int:
    """Sends these again; returns how many. Dead letters that were counted since are marked as replayed, not sent."""
    arguments: dict[str, Any] = {
        "ids": [row.id for row in found],
        "keys": [readable(row.message_key) or "" for row in found],
        "status": status,
        "by": by,
    }
    text, names = _REPLAY["requeue_rows" if source == "outbox" else "requeue_letters"]
    given = [arguments[name] for name in names]
    if source == "outbox":
        return int((await connection.execute(text, *given)).rpartition(" ")[2])
    return sum(not row["counted"] for row in await connection.fetch(text, *given))


async def discard(connection: "Connection", source: ReplaySource, ids: Sequence[int], *, by: str, reason: str) -> int:
    """Gives these up; returns how many."""
    text, names = _REPLAY["discard_rows" if source == "outbox" else "discard_letters"]
    arguments: dict[str, Any] = {"ids": list(ids), "by": by, "reason": reason}
    return len(await connection.fetch(text, *(arguments[name] for name in names)))


def _filters(wanted: Wanted) -> tuple[str | None, ...]:
    return wanted.status, wanted.topic, wanted.error, wanted.event_id
