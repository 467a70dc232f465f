"""What the console's flow reads from Postgres, once a second while somebody looks."""

from typing import TYPE_CHECKING

from msgspec import Struct

from app.adapters import dead_letters, outbox, sql
from app.core.flow import Backlogs, Counts

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL = sql.load(__file__)


class Begun(Struct, frozen=True):
    """Which first steps are done: whether there are events, items, and features made of events."""

    has_events: bool
    has_items: bool
    has_histories: bool


async def read(connection: "Connection") -> tuple[Counts, Backlogs, Begun]:
    counts = await connection.fetchrow(_SQL["read"])
    begun = await connection.fetchrow(_SQL["begun"])
    assert counts is not None  # neither has a FROM, so each has one row
    assert begun is not None
    rows = await outbox.backlog(connection)
    letters = {entry.status: entry.events for entry in await dead_letters.backlog(connection)}
    backlogs = Backlogs(rows.pending, rows.oldest_pending_ms, rows.dead, letters.get("pending", 0))
    return Counts(*counts), backlogs, Begun(*begun)
