"""What the places that were shown led to: clicks, conversions, revenue and watch time, with intervals."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, TypeAlias

from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from app.adapters import analytics, conversions
from app.adapters.conversions import Dimension, GroupedSums, Selection
from app.adapters.read_replica import ReadSource
from app.api.analytics import BaselineQuery
from app.api.by_variant import rounded
from app.api.timestamps import Timestamp
from app.core import coverage, intervals
from app.core.events import PRINTABLE
from app.core.intervals import Estimate
from app.http import schema
from app.http.responses import reply

_MAX_ROWS: Final = 100
_THOUSAND: Final = 1_000.0


Name: TypeAlias = Annotated[str, Meta(max_length=100, pattern=PRINTABLE)]


class ConversionQuery(BaselineQuery, frozen=True, forbid_unknown_fields=True):
    placement: Annotated[Name, Meta(description="Only what was shown at this placement.")] | None = None
    source: Annotated[Name, Meta(description="Only what this source brought into the lists.")] | None = None
    variant: Annotated[Name, Meta(description="Only what was shown under this one; empty: under none.")] | None = None


class Revenue(Struct, kw_only=True):
    """What conversions were worth in one currency; an empty one: the events named none."""

    currency: str
    total: float
    per_thousand_shown: Estimate | None


class Conversions(Struct, kw_only=True):
    """Impressions at the positions 0 to 19, each item once per request, and what followed with the same `request_id`.

    `converted`: places whose item was bought or otherwise consumed, and not taken back. `ctr` is `clicked` by `shown`,
    `conversion` is `converted` by `shown`. `low` and `high` bound 95 % intervals, that treat the events of one user as
    dependent. `coverage` is the share of the catalogue that was shown; it is estimated, and its interval is that of the
    estimate.
    """

    name: str
    shown: int
    clicked: int
    converted: int
    watches: int
    ctr: Estimate | None
    conversion: Estimate | None
    average_watch_sec: Estimate | None
    coverage: Estimate | None
    revenue: list[Revenue]


class ConversionReport(Struct, kw_only=True):
    """In total and by day, placement, source and variant: the 100 most shown. The placement is the `feed_id` of the
    impression's items, or of its context. A variant of an experiment is `experiment/variant`. Days are those of the
    impression, oldest first. What was shown under no variant, or beyond the names that are kept, has the empty name in
    `by_variant`. Events received after `as_of` are not in yet.
    """

    days: int
    since: date
    as_of: Timestamp
    total: Conversions
    by_day: list[Conversions]
    by_placement: list[Conversions]
    by_source: list[Conversions]
    by_variant: list[Conversions]


def handlers(reads: ReadSource) -> list[HTTPRouteHandler]:
    @get(
        "/analytics/conversions",
        opt=schema.call(
            needs="read",
            tag="analytics",
            query=ConversionQuery,
            answers={200: ConversionReport, **schema.problems(422, 503)},
        ),
    )
    async def conversion_report(request: Request[Any, Any, Any]) -> ASGIApp:
        """Click rate, conversion, revenue and watch time of the last days, by day, placement, source and variant.

        Of one placement, source or variant alone where the query names one.
        """
        query = schema.query_of(request.scope, ConversionQuery)
        days = query.days
        after = datetime.now(UTC).date() - timedelta(days=days)
        async with reads.connection() as connection:
            as_of = await analytics.read_progress(connection)
            found = await conversions.read(connection, after, Selection(query.placement, query.source, query.variant))
            items = await analytics.catalogue_size(connection)
        total = _rows(found, "total", items)
        return reply(
            ConversionReport(
                days=days,
                since=after + timedelta(days=1),
                as_of=as_of,
                total=total[0] if total else _row("", conversions.nothing(), items),
                by_day=sorted(_rows(found, "day", items), key=lambda row: row.name),
                by_placement=_rows(found, "placement", items),
                by_source=_rows(found, "source", items),
                by_variant=_rows(found, "variant", items),
            )
        )

    return [conversion_report]


def _rows(found: Mapping[Dimension, Mapping[str, GroupedSums]], by: Dimension, items: int) -> list[Conversions]:
    """Those most shown first. `items`: of the catalogue."""
    rows = [_row(name, sums, items) for name, sums in found.get(by, {}).items()]
    return sorted(rows, key=lambda row: (-row.shown, row.name))[:_MAX_ROWS]


def _row(name: str, sums: GroupedSums, items: int) -> Conversions:
    return Conversions(
        name=name,
        shown=round(sum(sums.shown)),
        clicked=round(sum(sums.clicked)),
        converted=round(sum(sums.converted)),
        watches=round(sum(sums.watches)),
        ctr=rounded(intervals.share(sums.clicked, sums.shown)),
        conversion=rounded(intervals.share(sums.converted, sums.shown)),
        average_watch_sec=rounded(intervals.mean(sums.watch_sec, sums.watches)),
        coverage=rounded(coverage.share(sums.sketch, items)),
        revenue=[
            Revenue(
                currency=currency,
                total=round(sum(groups), 2),
                per_thousand_shown=rounded(intervals.mean([_THOUSAND * one for one in groups], sums.shown)),
            )
            for currency, groups in sorted(sums.revenue.items())
        ],
    )
