"""The metrics of the registry as OTLP has them: the same names, labels and buckets as on `/metrics`."""

from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import Metric as Family
from prometheus_client.samples import Sample


def metrics_data(
    families: Iterable[Family], resource: Resource, scope: InstrumentationScope, *, since_ns: int, now_ns: int
) -> MetricsData:
    """`since_ns`: when the process began to count."""
    found = [metric for family in families if (metric := _metric(family, since_ns, now_ns)) is not None]
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(scope, found, "")], "")])


def _metric(family: Family, since_ns: int, now_ns: int) -> Metric | None:
    data: Sum | Gauge | Histogram
    if family.type == "counter":
        points = _numbers((s for s in family.samples if s.name.endswith("_total")), since_ns, now_ns)
        data = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
        return Metric(f"{family.name}_total", family.documentation, "", data) if points else None
    if family.type == "histogram":
        series = _histograms(family.samples, since_ns, now_ns)
        data = Histogram(series, AggregationTemporality.CUMULATIVE)
        return Metric(family.name, family.documentation, "", data) if series else None
    points = _numbers(family.samples, since_ns, now_ns)
    return Metric(family.name, family.documentation, "", Gauge(points)) if points else None


def _numbers(samples: Iterable[Sample], since_ns: int, now_ns: int) -> list[NumberDataPoint]:
    return [NumberDataPoint(dict(sample.labels), since_ns, now_ns, sample.value) for sample in samples]


def _histograms(samples: Sequence[Sample], since_ns: int, now_ns: int) -> list[HistogramDataPoint]:
    """Prometheus' buckets count everything up to their bound; OTLP's do not."""
    series: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for sample in samples:
        labels = tuple((name, value) for name, value in sample.labels.items() if name != "le")
        one = series.setdefault(labels, {"upto": [], "counts": [], "sum": 0.0})
        if sample.name.endswith("_bucket"):
            one["upto"].append(float(sample.labels["le"]))
            one["counts"].append(int(sample.value))
        elif sample.name.endswith("_sum"):
            one["sum"] = sample.value
    unknown: Any = None  # the least and the greatest value are not kept
    return [
        HistogramDataPoint(
            attributes=dict(labels),
            start_time_unix_nano=since_ns,
            time_unix_nano=now_ns,
            count=one["counts"][-1],
            sum=one["sum"],
            bucket_counts=[count - before for before, count in zip([0, *one["counts"]], one["counts"], strict=False)],
            explicit_bounds=one["upto"][:-1],
            min=unknown,
            max=unknown,
        )
        for labels, one in series.items()
        if one["counts"]
    ]
