"""Service levels over a window: differences of two cumulative histograms, and their percentiles."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

WINDOW_SEC: Final = 300.0


class SlaTargets(Struct, frozen=True, kw_only=True):
    """Targets of the service. Percentiles are of the window, in milliseconds."""

    ingest_p99_ms: float = 100.0
    reco_p99_ms: float = 100.0
    freshness_p99_ms: float = 1000.0
    error_ratio: float = 0.001


class KpiTargets(Struct, frozen=True, kw_only=True):
    """Default targets for a product team."""

    ctr_at_20: float = 0.05
    average_watch_sec: float = 60.0
    coverage_at_20: float = 0.3


class Snapshot(Struct, frozen=True):
    """Cumulative counts at one time: per route the requests up to each upper bound, and answers by status family."""

    at: float
    bounds: tuple[float, ...]
    calls: Mapping[str, tuple[float, ...]]
    families: Mapping[str, float]


class Latency(Struct, frozen=True):
    """Percentiles are upper bounds of their bucket, interpolated inside it; None without requests."""

    requests: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


def latency(before: Snapshot, after: Snapshot, routes: Sequence[str]) -> Latency:
    """The service level of these routes together, between two snapshots."""
    counts = [0.0] * len(after.bounds)
    for route in routes:
        new = after.calls.get(route, ())
        old = before.calls.get(route, (0.0,) * len(new))
        counts = [total + b - a for total, a, b in zip(counts, old, new, strict=True)] if new else counts
    total = counts[-1] if counts else 0.0
    return Latency(int(total), *(percentile(after.bounds, counts, share) for share in (0.5, 0.95, 0.99)))


def percentile(bounds: Sequence[float], cumulative: Sequence[float], share: float) -> float | None:
    """A quantile of a cumulative histogram whose last bound is infinite, as Prometheus' `histogram_quantile`."""
    total = cumulative[-1] if cumulative else 0.0
    if total <= 0:
        return None
    rank = share * total
    index = next(i for i, count in enumerate(cumulative) if count >= rank)
    if index == len(bounds) - 1:
        return bounds[-2]
    low = bounds[index - 1] if index else 0.0
    below = cumulative[index - 1] if index else 0.0
    inside = cumulative[index] - below
    return low + (bounds[index] - low) * ((rank - below) / inside if inside else 1.0)


def error_ratio(before: Snapshot, after: Snapshot) -> float:
    """The share of 5xx among the answers between two snapshots."""
    new = {family: after.families[family] - before.families.get(family, 0.0) for family in after.families}
    total = sum(new.values())
    return new.get("5xx", 0.0) / total if total else 0.0
