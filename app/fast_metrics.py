"""Counters and histograms for hot paths: every request adds to several, always in the event loop's thread.

They are plain numbers until a scrape. prometheus-client's take a lock and loop over the buckets at each call.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class FastCount:
    """One series of a `FastCounter`."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        self.value += amount


class FastCounter(Collector):
    """A counter with labels."""

    def __init__(self, registry: CollectorRegistry, name: str, meaning: str, *labels: str) -> None:
        self.name = name
        self.meaning = meaning
        self.label_names = labels
        self._counts: dict[tuple[str, ...], FastCount] = {}
        registry.register(self)

    def labels(self, *values: str) -> FastCount:
        return self._counts.setdefault(values, FastCount())

    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily(self.name, self.meaning, labels=self.label_names)
        for values, count in self._counts.items():
            family.add_metric(values, count.value)
        yield family


class FastBuckets:
    """One series of a `FastHistogram`. `counts` has one entry more than there are bounds."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class FastHistogram(Collector):
    """A histogram with labels."""

    def __init__(
        self, registry: CollectorRegistry, name: str, meaning: str, *labels: str, buckets: Sequence[float]
    ) -> None:
        self.name = name
        self.meaning = meaning
        self.label_names = labels
        self._bounds = tuple(map(float, buckets))
        self._series: dict[tuple[str, ...], FastBuckets] = {}
        registry.register(self)

    def labels(self, *values: str) -> FastBuckets:
        return self._series.setdefault(values, FastBuckets(self._bounds))

    def collect(self) -> Iterable[HistogramMetricFamily]:
        family = HistogramMetricFamily(self.name, self.meaning, labels=self.label_names)
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        for values, series in self._series.items():
            family.add_metric(values, [*zip(bounds, accumulate(series.counts), strict=True)], series.total)
        yield family
