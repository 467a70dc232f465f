"""The few metrics of this process that the flow shows."""

from collections.abc import Iterable
from typing import Any

from app import metrics


def totals() -> dict[str, float]:
    """Reads of the cache, and how many events the consumer counted with the sum of their ages, so far."""
    ages = {"event_ages": 0.0, "event_age_ms": 0.0}
    for sample in _samples(metrics.CONSUMER_EVENT_LAG):
        if sample.name.endswith("_count"):
            ages["event_ages"] += sample.value
        elif sample.name.endswith("_sum"):
            ages["event_age_ms"] += sample.value
    return {**ages, "cache": _sum(metrics.CACHE_READS)}


def buffered() -> int:
    return int(_sum(metrics.INGEST_PENDING))


def lag() -> int:
    """Messages of the partitions of this process."""
    return int(_sum(metrics.CONSUMER_LAG))


def _sum(metric: Any) -> float:
    total: float = sum(sample.value for sample in _samples(metric))
    return total


def _samples(metric: Any) -> Iterable[Any]:
    return (sample for family in metric.collect() for sample in family.samples)
