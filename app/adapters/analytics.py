"""Sums for the KPIs: rolled up from the events a slice of arrivals at a time, read by day."""

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from app.adapters import sql

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL = sql.load(__file__)

PLACES: Final = 20
ANY: Final = ("", "")


class Shown(Struct, frozen=True):
    """What was shown at the places 1 to 20, and what came of it."""

    source: str
    model_version: str
    shown: int
    clicked: int
    watches: int
    watch_sec: float


class Baseline(Struct, frozen=True):
    """`items`: distinct items shown, by (source, model version); `ANY` stands for all of them."""

    shown: list[Shown]
    watches: int
    watch_sec: float
    items: dict[tuple[str, str], int]
    catalogue: int
    as_of: datetime


class Freshness(Struct, frozen=True):
    """Milliseconds from the receipt of an event to its features; None when there was none."""

    counted: int
    waiting: int
    p50_ms: float | None
    p99_ms: float | None


class Slice(Struct, frozen=True):
    """What one turn did: `events` rolled up, `until` when; `done` when nothing settled is left."""

    events: int
    until: datetime
    done: bool


async def roll_up(connection: "Connection", longest: timedelta) -> Slice | None:
    """Adds the next arrivals, of at most `longest`, to the sums, in one transaction; None while another does."""
    async with connection.transaction():
        rolled_to = await connection.fetchval(_SQL["lock_progress"])
        if rolled_to is None:
            return None
        settled = await connection.fetchval(_SQL["settled"])
        if settled <= rolled_to:
            return Slice(0, rolled_to, True)
        start = await connection.fetchval(_SQL["next_arrival"], rolled_to, settled)
        if start is None:
            await connection.execute(_SQL["advance"], settled)
            return Slice(0, settled, True)
        until = min(start + longest, settled)
        events = await connection.fetchval(_SQL["roll_up"], start, until, PLACES)
        await connection.execute(_SQL["advance"], until)
    return Slice(events, until, until == settled)


async def read_baseline(connection: "Connection", after: date) -> Baseline:
    """The sums of the days after `after` (UTC)."""
    watches, watch_sec = await connection.fetchrow(_SQL["read_watches"], after) or (0, 0.0)
    return Baseline(
        shown=[Shown(*row) for row in await connection.fetch(_SQL["read_shown"], after)],
        watches=watches,
        watch_sec=watch_sec,
        items={(source, version): n for source, version, n in await connection.fetch(_SQL["read_items"], after)},
        catalogue=await connection.fetchval(_SQL["catalogue_size"]),
        as_of=await connection.fetchval(_SQL["progress"]),
    )


async def read_freshness(connection: "Connection", window_sec: float) -> Freshness:
    row = await connection.fetchrow(_SQL["freshness"], window_sec)
    assert row is not None  # an aggregate without GROUP BY always has one row
    return Freshness(*row)
