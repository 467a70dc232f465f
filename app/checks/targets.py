"""The service's own figures against the targets that it publishes."""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct


class TargetVerdict(Struct, frozen=True):
    """`ok` is None without data."""

    name: str
    ok: bool | None
    figure: float | None
    target: float


def sla_verdicts(now: Mapping[str, Any]) -> Iterator[TargetVerdict]:
    """Of `GET /metrics/reco`: figures that must not be above their target."""
    freshness = now["freshness"]
    figures = {
        "ingest_p99_ms": now["ingest"]["p99_ms"],
        "reco_p99_ms": now["reco"]["p99_ms"],
        "freshness_p99_ms": None if freshness is None else freshness["p99_ms"],
        "error_ratio": now["error_ratio"],
    }
    for name, target in now["targets"].items():
        figure = figures.get(name)
        yield TargetVerdict(name, None if figure is None else figure <= target, figure, target)


def kpi_verdicts(total: Mapping[str, Any], targets: Mapping[str, float]) -> Iterator[TargetVerdict]:
    """Of the `total` of `GET /analytics/baseline`: figures that should reach their target."""
    for name, target in targets.items():
        figure = total.get(name)
        yield TargetVerdict(name, None if figure is None else figure >= target, figure, target)
