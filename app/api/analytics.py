"""The contract, the SLA window now, and the KPIs of the last days."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final

from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Meta, Struct, structs

from app.adapters import analytics
from app.adapters.analytics import Baseline, Freshness, Shown, VariantSums
from app.adapters.postgres import Database
from app.adapters.read_replica import ReadSource
from app.api.by_variant import VariantKpis, by_variant
from app.api.timestamps import Timestamp
from app.core import event_times, events, sla
from app.core.event_types import READY
from app.core.sla import KpiTargets, Latency, SlaTargets
from app.errors import DependencyDown
from app.http import schema
from app.http.responses import reply
from app.http.sla import SlaWindow

_INGEST: Final = ("/log/watch", "/log/impression", "/event", "/log/batch")
_RECO: Final = ("/reco",)
_FRESHNESS_WINDOW_SEC: Final = 30.0


class EventLimits(Struct, frozen=True, kw_only=True):
    """Limits of events; an event or a batch beyond a limit is refused."""

    event_bytes: int = events.MAX_EVENT_BYTES
    body_bytes: int = events.MAX_BODY_BYTES
    batch_events: int = events.MAX_BATCH_EVENTS
    impression_items: int = events.MAX_IMPRESSION_ITEMS
    oldest_ms: int = event_times.MAX_AGE_MS
    ahead_ms: int = event_times.MAX_AHEAD_MS


class Contract(Struct, frozen=True, kw_only=True):
    """The limits of events, and the service's targets."""

    event_types: list[str]
    limits: EventLimits
    sla: SlaTargets
    kpi: KpiTargets


class SlaReport(Struct, kw_only=True):
    """`ingest`, `reco` and `error_ratio` are of this process since `window_sec` ago; `freshness` is of the pipeline.

    `missed` names the targets that are not met; `freshness` is null while Postgres does not answer.
    """

    window_sec: float
    ingest: Latency
    reco: Latency
    error_ratio: float
    freshness: Freshness | None
    targets: SlaTargets
    ok: bool
    missed: list[str]


class BaselineQuery(Struct, frozen=True, forbid_unknown_fields=True):
    days: Annotated[int, Meta(ge=1, le=30, description="How many days until today, UTC.")] = 7


class Kpis(Struct, kw_only=True):
    """Impressions at the positions 0 to 19, each item once per request, and the clicks and watches that followed.

    `ctr_at_20` is `clicked` by `shown`; `coverage_at_20` is the share of the catalogue that was shown, or
    of all items seen so far if there is no catalogue;
    `average_watch_sec` is of the watches that followed an impression.
    """

    source: str
    model_version: str
    shown: int
    clicked: int
    watches: int
    ctr_at_20: float | None
    average_watch_sec: float | None
    coverage_at_20: float | None


class KpiReport(Struct, kw_only=True):
    """The totals, and the same by source and model version: the 200 most shown. `watches` and `average_watch_sec` of
    the totals are of all watches. `by_variant`: control first; empty when nothing was shown under a variant. Events
    received after `as_of` are not in yet.
    """

    days: int
    since: date
    as_of: Timestamp
    total: Kpis
    by_source: list[Kpis]
    by_variant: list[VariantKpis]


CONTRACT: Final = Contract(
    event_types=["watch", "impression", "view", "click", "purchase", "cancel", *READY],
    limits=EventLimits(),
    sla=SlaTargets(),
    kpi=KpiTargets(),
)


def handlers(database: Database, reads: ReadSource, window: SlaWindow) -> list[HTTPRouteHandler]:
    """`reads`: for figures of days."""

    @get("/contract", opt=schema.call(needs="read", tag="analytics", answers={200: Contract}))
    async def contract() -> ASGIApp:
        """Limits of events, and the KPI and SLA targets."""
        return reply(CONTRACT)

    @get("/metrics/reco", opt=schema.call(needs="read", tag="analytics", answers={200: SlaReport}))
    async def sla_report() -> ASGIApp:
        """The SLA window now. Prometheus has the same figures for all processes and for longer."""
        try:
            async with database.connection() as connection:
                freshness = await analytics.read_freshness(connection, _FRESHNESS_WINDOW_SEC)
        except DependencyDown:
            freshness = None
        return reply(_sla(window, freshness, CONTRACT.sla))

    @get(
        "/analytics/baseline",
        opt=schema.call(
            needs="read",
            tag="analytics",
            query=BaselineQuery,
            answers={200: KpiReport, **schema.problems(422, 503)},
        ),
    )
    async def baseline(request: Request[Any, Any, Any]) -> ASGIApp:
        """Key figures of the last days, in total, by source and by variant. They are CTR@20, average watch time and
        catalogue coverage@20, and how the variants of an experiment differ in the first two.
        """
        days = schema.query_of(request.scope, BaselineQuery).days
        after = datetime.now(UTC).date() - timedelta(days=days)
        async with reads.connection() as connection:
            found = await analytics.read_baseline(connection, after)
            variants = await analytics.read_variants(connection, after)
        return reply(answer_of(days, after + timedelta(days=1), found, variants))

    return [contract, sla_report, baseline]


def _sla(window: SlaWindow, freshness: Freshness | None, targets: SlaTargets) -> SlaReport:
    before, after = window.bounds()
    ingest = sla.latency(before, after, _INGEST)
    reco = sla.latency(before, after, _RECO)
    errors = sla.error_ratio(before, after)
    figures = {
        "ingest_p99_ms": ingest.p99_ms,
        "reco_p99_ms": reco.p99_ms,
        "freshness_p99_ms": None if freshness is None else freshness.p99_ms,
        "error_ratio": errors,
    }
    missed = [name for name, figure in figures.items() if figure is not None and figure > getattr(targets, name)]
    return SlaReport(
        window_sec=round(after.at - before.at, 1),
        ingest=ingest,
        reco=reco,
        error_ratio=errors,
        freshness=freshness,
        targets=targets,
        ok=not missed,
        missed=missed,
    )


def answer_of(days: int, since: date, found: Baseline, variants: list[VariantSums]) -> KpiReport:
    every = structs.replace(found.total, watches=found.watches, watch_sec=found.watch_sec)
    return KpiReport(
        days=days,
        since=since,
        as_of=found.as_of,
        total=_kpis(every, found),
        by_source=[_kpis(row, found) for row in found.shown],
        by_variant=by_variant(variants),
    )


def _kpis(row: Shown, found: Baseline) -> Kpis:
    return Kpis(
        source=row.source or "all",
        model_version=row.model_version or "all",
        shown=row.shown,
        clicked=row.clicked,
        watches=row.watches,
        ctr_at_20=_ratio(row.clicked, row.shown),
        average_watch_sec=_ratio(row.watch_sec, row.watches),
        coverage_at_20=_ratio(found.items.get((row.source, row.model_version), 0), found.catalogue),
    )


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 6) if whole else None
