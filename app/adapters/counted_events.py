"""The events that were counted, as `reco rebuild` reads them from `events` and their dedupe rows.

Events of before an erasure of their user are left out, as the consumer does. So are cancellations of events that are
not folded.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from app.adapters import sql
from app.adapters.arrays import joined_texts
from app.core.event_numbers import EventNumbers
from app.core.replay import DEDUPE_DAYS_LEAST

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)


async def span(connection: "Connection") -> tuple[datetime | None, int]:
    """The first time of receipt of the stored events, None without any, and how many there are."""
    row = await connection.fetchrow(_SQL["span"])
    assert row is not None  # an aggregate
    return row[0], row[1]


async def first_received(connection: "Connection") -> datetime | None:
    """The first time of receipt of the stored events; None without any."""
    found: datetime | None = await connection.fetchval(_SQL["first_received"])
    return found


async def count_received(connection: "Connection", begin: datetime, end: datetime) -> int:
    found: int = await connection.fetchval(_SQL["count_received"], begin, end)
    return found


async def mark_lone_cancels(connection: "Connection") -> None:
    """Cancellations of events that are not stored: `read_received` and `read_counted` leave out those of them whose
    event is not in the files either. Before any stored event is folded.
    """
    await connection.execute(_SQL["mark_lone_cancels"])


async def read_received(
    connection: "Connection",
    begin: datetime,
    end: datetime,
    *,
    counted_until: datetime,
    number: int,
    of: int,
    dedupe_days: float,
) -> list[str]:
    """The messages of a slice that were received from `begin` to before `end`, in order of arrival."""
    rows = await connection.fetch(
        _SQL["read_received"], begin, end, counted_until, number, of, dedupe_days, float(DEDUPE_DAYS_LEAST)
    )
    return [payload for (payload,) in rows]


async def read_counted(
    connection: "Connection", after: datetime, until: datetime, limit: int
) -> tuple[datetime, list[str]]:
    """Up to about `limit` messages that were counted after `after` and until `until`, and until when these are all."""
    while True:
        rows = await connection.fetch(_SQL["read_counted"], after, until, limit)
        if len(rows) < limit:
            break
        # Others may have the stamp of the last one.
        rows = [row for row in rows if row[0] < rows[-1][0]]
        if rows:
            until = rows[-1][0]
            break
        limit *= 2
    rows.sort(key=lambda row: (row[1], row[2]))
    return until, [row[3] for row in rows]


async def known_ids(connection: "Connection", event_ids: Collection[str]) -> set[str]:
    """Those of these events that are stored."""
    return {event_id for (event_id,) in await connection.fetch(_SQL["known_ids"], joined_texts(event_ids))}


async def stored_after(connection: "Connection", event_id: str, limit: int) -> list[tuple[str, str]]:
    """The ids of up to `limit` stored events after this one, each with its user, in the order of the ids."""
    return [(row[0], row[1]) for row in await connection.fetch(_SQL["stored_after"], event_id, limit)]


async def all_erased(connection: "Connection") -> list[tuple[str, int]]:
    """All users that were erased, and when: milliseconds since the epoch."""
    return [(row[0], row[1]) for row in await connection.fetch(_SQL["all_erased"])]


async def stored(connection: "Connection") -> EventNumbers:
    """How many events are stored, less those that were taken back. Some of them may not be counted yet."""
    row = await connection.fetchrow(_SQL["stored"])
    assert row is not None  # an aggregate
    return EventNumbers(*row)


async def lacks_first(connection: "Connection") -> bool:
    """Whether the sums hold an event, of any type, that is older than all that are stored."""
    return bool(await connection.fetchval(_SQL["lacks_first"]))


async def read_of_users(connection: "Connection", user_ids: Sequence[str]) -> list[str]:
    """The counted messages of erased users since their last erasure."""
    return [payload for (payload,) in await connection.fetch(_SQL["read_of_users"], user_ids)]
