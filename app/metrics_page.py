"""The reference page of the metrics: `python -m app.metrics_page` prints docs/metrics.md from `app.metrics`."""

from collections.abc import Iterator

from prometheus_client import Counter, Gauge, Histogram

from app import metrics
from app.fast_metrics import FastCounter, FastHistogram

_INTRODUCTION = """\
# Metrics

`GET /metrics` of every process has these in the Prometheus text format, beside those of Python and the process that
prometheus-client adds (`python_*`, `process_*`). Durations are in the unit that the name ends in. A histogram has the
series `_bucket`, `_sum` and `_count`. A metric without a value yet may be missing.

`scripts/metrics-page` generates this page from `app/metrics.py`.

| metric | type | labels | meaning |
| --- | --- | --- | --- |
"""


def page() -> str:
    return _INTRODUCTION + "".join(
        f"| `{name}` | {kind} | {labels} | {meaning} |\n" for name, kind, labels, meaning in rows()
    )


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Name, type, labels and meaning of each metric, by name."""
    found = []
    for metric in vars(metrics).values():
        if isinstance(metric, FastCounter | FastHistogram):
            kind = "counter" if isinstance(metric, FastCounter) else "histogram"
            found.append((metric.name, kind, metric.label_names, metric.meaning))
        elif isinstance(metric, Counter | Gauge | Histogram):
            (family,) = metric.describe()
            name = f"{family.name}_total" if isinstance(metric, Counter) else family.name
            found.append((name, family.type, metric._labelnames, family.documentation))  # noqa: SLF001 - it has no other way
    for name, kind, labels, meaning in sorted(found):
        yield name, kind, ", ".join(f"`{label}`" for label in labels), meaning


if __name__ == "__main__":
    print(page(), end="")
