"""What is stored about a user."""

from datetime import datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from app.adapters import features, sql, user_links
from app.adapters.user_links import StoredLink
from app.core.history import History

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL = sql.load(__file__)

_RECENT_EVENTS: Final = 2_000


class Stored(Struct, frozen=True):
    """`latest` are JSON documents, newest first. Times of events are milliseconds."""

    events: int
    first_ts_ms: int | None
    last_ts_ms: int | None
    queued: int
    dead_letters: int
    latest: list[str]
    history: History
    erased_at: datetime | None
    links: list[StoredLink]

    @property
    def empty(self) -> bool:
        return not (self.events or self.queued or self.dead_letters or self.history or self.links)


async def read(connection: "Connection", user_id: str, *, limit: int) -> Stored:
    row = await connection.fetchrow(_SQL["count_events"], user_id)
    assert row is not None  # an aggregate without GROUP BY always has one row
    history = await features.read_histories(connection, [user_id])
    return Stored(
        events=row[0],
        first_ts_ms=row[1],
        last_ts_ms=row[2],
        queued=await connection.fetchval(_SQL["count_queued"], user_id),
        dead_letters=await connection.fetchval(_SQL["count_dead_letters"], user_id),
        latest=[payload for (payload,) in await connection.fetch(_SQL["latest_events"], user_id, limit)],
        history=features.history_of(history.get(user_id)),
        erased_at=await connection.fetchval(_SQL["erased_at"], user_id),
        links=await user_links.of_user(connection, user_id),
    )


async def read_recent(connection: "Connection", limit: int) -> list[tuple[str, datetime]]:
    """Users of the latest 2,000 events, the latest first, and when the service received their last event."""
    rows = await connection.fetch(_SQL["recent"], _RECENT_EVENTS, limit)
    return [(user_id, last_at) for user_id, last_at in rows]
