"""Sums for the KPIs: rolled up from the events in slices of arrival time, and read by day."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from app.adapters import conversions, event_types, experiments, sql
from app.core.exploration import EXPLORE
from app.core.slate import CATALOGUE, CONTENT, COVISITATION, PINNED, POPULAR, REPEAT
from app.core.variants import CONTROL_NAME, MAX_VARIANTS, PREVIEW_NAME

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL = sql.load(__file__)

PLACES: Final = 20
ANY: Final = ("", "")
USER_GROUPS: Final = 1_024

KEEP_DAYS: Final = 40.0
"""KPIs reach back 30 days at most, and an event counts for a day at most a week before it arrived."""

SOURCES: Final = (COVISITATION, CONTENT, POPULAR, REPEAT, EXPLORE, PINNED, CATALOGUE)
OTHER: Final = "other"
UNKNOWN: Final = "unknown"

# Clients choose request ids, model versions and variants. These bounds are far above what correct ones need.
_EVENTS_A_REQUEST: Final = 200
_VERSIONS_A_DAY: Final = 20
_VARIANTS_A_DAY: Final = 2 * (1 + MAX_VARIANTS)
_ROWS: Final = 200


class Shown(Struct, frozen=True):
    """Impressions at the positions 0 to 19, and the clicks and watches that followed."""

    source: str
    model_version: str
    shown: int
    clicked: int
    watches: int
    watch_sec: float


class Baseline(Struct, frozen=True):
    """`total` has the sources and versions `ANY`; `shown` has a row for each, those most shown first and 200 at most.
    `watches` and `watch_sec` are of all watches. `items`: distinct items of the catalogue that were shown, by (source,
    model version).
    """

    total: Shown
    shown: list[Shown]
    watches: int
    watch_sec: float
    items: dict[tuple[str, str], int]
    catalogue: int
    as_of: datetime


class Groups(Struct, frozen=True):
    """Sums over the positions 0 to 19, one entry for each group of users with an impression."""

    shown: list[float]
    clicked: list[float]
    watches: list[float]
    watch_sec: list[float]


class VariantSums(Struct, frozen=True):
    """`ranks`: the greatest rank of each group, for `hyperloglog.estimate`.

    `paired`: the variant and control on the days on which both were shown, control's days weighing as the variant's do;
    None for control itself, and where there is no such day.
    """

    variant: str
    ranks: list[int]
    sums: Groups
    paired: tuple[Groups, Groups] | None


class Freshness(Struct, frozen=True):
    """Milliseconds from the receipt of an event to its features; None without an event."""

    counted: int
    waiting: int
    p50_ms: float | None
    p99_ms: float | None


class Slice(Struct, frozen=True):
    """Result of one turn: `events` rolled up, up to `until`; `done` when no settled event is left."""

    events: int
    until: datetime
    done: bool


class OpenTransaction(Struct, frozen=True):
    """`pid`: of Postgres' process."""

    pid: int
    user: str
    application: str
    open_sec: int


async def roll_up(connection: "Connection", longest: timedelta) -> Slice | None:
    """Adds the next slice of arrivals, at most `longest`, in one transaction; None while another process does so."""
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
        events = await connection.fetchval(
            _SQL["roll_up"],
            start,
            until,
            PLACES,
            PREVIEW_NAME,
            USER_GROUPS,
            _EVENTS_A_REQUEST,
            SOURCES,
            _VERSIONS_A_DAY,
            _VARIANTS_A_DAY,
        )
        types = await event_types.read_types(connection)
        await conversions.roll_up(
            connection,
            start,
            until,
            places=PLACES,
            events_a_request=_EVENTS_A_REQUEST,
            sources=SOURCES,
            types=["purchase", *(one.name for one in types.of_meaning("consumption"))],
        )
        await experiments.count_outcomes(connection, start, until)
        await connection.execute(_SQL["advance"], until)
    return Slice(events, until, until == settled)


async def read_oldest_open(connection: "Connection", open_sec: float) -> OpenTransaction | None:
    """The transaction that no slice reaches beyond, if it has been open for so long."""
    row = await connection.fetchrow(_SQL["oldest_open"], open_sec)
    return None if row is None else OpenTransaction(*row)


async def read_progress(connection: "Connection") -> datetime:
    """Events that were received before are in all sums."""
    rolled_to: datetime = await connection.fetchval(_SQL["progress"])
    return rolled_to


async def catalogue_size(connection: "Connection") -> int:
    """Without a catalogue, all items seen so far."""
    size: int = await connection.fetchval(_SQL["catalogue_size"])
    return size


async def read_items(
    connection: "Connection", after: date, shown: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """How many distinct items of the catalogue were shown on the days after `after` (UTC), by these sources and model
    versions. Those of which none was are left out. Rows of other sources and versions are not read.
    """
    sources, versions = [source for source, _ in shown], [version for _, version in shown]
    rows = await connection.fetch(_SQL["read_items"], after, sources, versions)
    return {(source, version): count for source, version, count in rows}


async def read_baseline(connection: "Connection", after: date) -> Baseline:
    """The sums of the days after `after` (UTC), as of one moment, unless a transaction of another kind is open."""
    is_within = connection.is_in_transaction()
    async with connection.transaction(isolation=None if is_within else "repeatable_read", readonly=True):
        watches, watch_sec = await connection.fetchrow(_SQL["read_watches"], after) or (0, 0.0)
        total = await connection.fetchrow(_SQL["read_total"], after) or ()
        shown = [Shown(*row) for row in await connection.fetch(_SQL["read_shown"], after, _ROWS)]
        return Baseline(
            total=Shown(*ANY, *total),
            shown=shown,
            watches=watches,
            watch_sec=watch_sec,
            items=await read_items(connection, after, [ANY, *((row.source, row.model_version) for row in shown)]),
            catalogue=await catalogue_size(connection),
            as_of=await read_progress(connection),
        )


async def read_sources(connection: "Connection", after: date) -> dict[str, tuple[int, int]]:
    """Shown and clicked places of the days after `after` (UTC), by source: `SOURCES`, `UNKNOWN` and `OTHER`."""
    rows = await connection.fetch(_SQL["read_sources"], after, [*SOURCES, UNKNOWN])
    return {source: (shown, clicked) for source, shown, clicked in rows}


async def read_variants(connection: "Connection", after: date) -> list[VariantSums]:
    """Control, then the variants most shown, of the days after `after` (UTC)."""
    found: dict[str, list[tuple[float, ...]]] = {}
    for variant, *sums in await connection.fetch(_SQL["read_variants"], after, 1 + MAX_VARIANTS, CONTROL_NAME):
        found.setdefault(variant, []).append(tuple(sums))
    paired: dict[tuple[str, bool], list[tuple[float, ...]]] = {}
    others = [variant for variant in found if variant != CONTROL_NAME]
    for variant, control, *sums in await connection.fetch(_SQL["read_comparisons"], after, others, CONTROL_NAME):
        paired.setdefault((variant, control), []).append(tuple(sums))
    rows = [
        VariantSums(
            variant,
            [int(rank) for rank, *_ in sums],
            _groups([row[1:] for row in sums]),
            (_groups(paired[variant, False]), _groups(paired[variant, True])) if (variant, True) in paired else None,
        )
        for variant, sums in found.items()
    ]
    return sorted(rows, key=lambda row: (row.variant != CONTROL_NAME, -sum(row.sums.shown), row.variant))


def _groups(rows: list[tuple[float, ...]]) -> Groups:
    return Groups(*map(list, zip(*rows, strict=True)))


async def read_freshness(connection: "Connection", window_sec: float) -> Freshness:
    row = await connection.fetchrow(_SQL["freshness"], window_sec)
    assert row is not None  # an aggregate without GROUP BY always has one row
    return Freshness(*row)
