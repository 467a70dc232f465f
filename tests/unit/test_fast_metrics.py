"""What is scraped is what the library's own counters and histograms would have said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest

from app.fast_metrics import FastCounter, FastHistogram

disable_created_metrics()  # as app.metrics does

BUCKETS = (1, 2.5, 10_000)
LABELS = st.sampled_from(["a", "b"])


@given(
    st.lists(st.tuples(LABELS, st.integers(0, 9))), st.lists(st.tuples(LABELS, st.sampled_from([0, 1, 2, 2.5, 3e4])))
)
def test_the_exposition_is_the_librarys(added: list[tuple[str, int]], observed: list[tuple[str, float]]) -> None:
    ours, theirs = CollectorRegistry(auto_describe=True), CollectorRegistry(auto_describe=True)
    fast_counter = FastCounter(ours, "reads_total", "Reads", "cache")
    counter = Counter("reads_total", "Reads", ["cache"], registry=theirs)
    fast_histogram = FastHistogram(ours, "took_ms", "Time", "route", buckets=BUCKETS)
    histogram = Histogram("took_ms", "Time", ["route"], registry=theirs, buckets=BUCKETS)
    for label, amount in added:
        fast_counter.labels(label).inc(amount)
        counter.labels(label).inc(amount)
    for label, value in observed:
        fast_histogram.labels(label).observe(value)
        histogram.labels(label).observe(value)
    assert generate_latest(ours) == generate_latest(theirs)


def test_a_name_is_taken_once() -> None:
    registry = CollectorRegistry(auto_describe=True)
    FastCounter(registry, "reads_total", "Reads")
    with pytest.raises(ValueError, match="Duplicated"):
        FastCounter(registry, "reads_total", "Reads")
