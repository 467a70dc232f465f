"""Conversions and revenue of the places that were shown: rolled up from the events, and read by day and list."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import Struct

from app.adapters import sql
from app.core import coverage
from app.core.variants import PREVIEW_NAME

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)

USER_GROUPS: Final = 64
_LISTS_A_DAY: Final = 100
_CURRENCIES_A_DAY: Final = 5

Dimension: TypeAlias = Literal["total", "day", "placement", "source", "variant"]
_DIMENSIONS: Final[tuple[Dimension, ...]] = ("day", "placement", "source", "variant")


class GroupedSums(Struct):
    """Sums of shown places and what followed, an entry for each group of users; `revenue`: by currency. `sketch`: of
    the items that were shown.
    """

    shown: list[float]
    clicked: list[float]
    converted: list[float]
    watches: list[float]
    watch_sec: list[float]
    revenue: dict[str, list[float]]
    sketch: coverage.Sketch


def nothing() -> GroupedSums:
    """The sums of what was never shown."""
    shown, clicked, converted, watches, watch_sec = ([0.0] * USER_GROUPS for _ in range(5))
    return GroupedSums(shown, clicked, converted, watches, watch_sec, {}, coverage.NOTHING)


async def roll_up(
    connection: "Connection",
    start: datetime,
    until: datetime,
    *,
    places: int,
    events_a_request: int,
    sources: Sequence[str],
    types: Sequence[str],
) -> None:
    """Adds what arrived from `start` until before `until`. `types`: the event types that are conversions."""
    bounds = (_LISTS_A_DAY, _CURRENCIES_A_DAY)
    await connection.execute(
        _SQL["roll_up"],
        start,
        until,
        places,
        PREVIEW_NAME,
        USER_GROUPS,
        events_a_request,
        sources,
        *bounds,
        types,
        coverage.REGISTERS,
    )


class Selection(Struct, frozen=True):
    """The places whose sums are asked for; None: all."""

    placement: str | None = None
    source: str | None = None
    variant: str | None = None


async def read(connection: "Connection", after: date, of: Selection) -> dict[Dimension, dict[str, GroupedSums]]:
    """The sums of the days after `after` (UTC), by dimension and name."""
    asked = (after, of.placement, of.source, of.variant)
    found: dict[Dimension, dict[str, GroupedSums]] = defaultdict(lambda: defaultdict(nothing))
    for by, name, group, *sums in await connection.fetch(_SQL["read"], *asked):
        row = found[by][name]
        row.shown[group], row.clicked[group], row.converted[group], row.watches[group], row.watch_sec[group] = sums
    for by, name, group, currency, revenue in await connection.fetch(_SQL["read_revenue"], *asked):
        found[by][name].revenue.setdefault(currency, [0.0] * USER_GROUPS)[group] = revenue
    rows = await connection.fetch(_SQL["read_coverage"], *asked)
    for (by, name), sketch in _sketches(rows).items():
        found[by][name].sketch = sketch
    return found


def _sketches(rows: Sequence[Iterable[Any]]) -> dict[tuple[Dimension, str], coverage.Sketch]:
    """By dimension and name, from rows of the four names and a sketch."""
    places: dict[tuple[Dimension, str], list[int]] = defaultdict(list)
    for place, (*names, _) in enumerate(rows):
        for key in (("total", ""), *zip(_DIMENSIONS, names, strict=True)):
            places[key].append(place)
    table = coverage.table_of([ranks for *_, ranks in rows])
    return {key: coverage.merged(table[found]) for key, found in places.items()}
