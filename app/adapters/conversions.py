"""Conversions and revenue of the places that were shown: rolled up from the events, and read by day and list."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

from app.adapters import sql
from app.core.variants import PREVIEW_NAME

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)

USER_GROUPS: Final = 64
_LISTS_A_DAY: Final = 100
_CURRENCIES_A_DAY: Final = 5

Dimension: TypeAlias = Literal["total", "day", "placement", "source", "variant"]


class GroupedSums(Struct):
    """Sums of shown places and what followed, an entry for each group of users; `revenue`: by currency."""

    shown: list[float]
    clicked: list[float]
    converted: list[float]
    watches: list[float]
    watch_sec: list[float]
    revenue: dict[str, list[float]]


def nothing() -> GroupedSums:
    """The sums of what was never shown."""
    shown, clicked, converted, watches, watch_sec = ([0.0] * USER_GROUPS for _ in range(5))
    return GroupedSums(shown, clicked, converted, watches, watch_sec, {})


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
        _SQL["roll_up"], start, until, places, PREVIEW_NAME, USER_GROUPS, events_a_request, sources, *bounds, types
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
    return found
