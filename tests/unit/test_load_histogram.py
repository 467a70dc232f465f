"""Latency histograms: percentiles within the stated error, and sums of histograms."""

import math

from hypothesis import given
from hypothesis import strategies as st

from app.load.histogram import Histogram, bucket_of, merged, upper_bound_us

LATENCIES = st.lists(st.floats(min_value=0.0, max_value=3600.0), min_size=1, max_size=300)
PERCENTS = st.floats(min_value=0.1, max_value=100.0)


def filled(seconds: list[float]) -> Histogram:
    histogram = Histogram()
    for value in seconds:
        histogram.record(value)
    return histogram


@given(st.integers(min_value=0, max_value=2**37))
def test_a_bucket_holds_its_value_and_is_narrow(us: int) -> None:
    bound = upper_bound_us(bucket_of(us))
    assert us <= bound <= us + us / 128
    assert bucket_of(bound) == bucket_of(us)
    assert bucket_of(bound + 1) == bucket_of(us) + 1


@given(LATENCIES, PERCENTS)
def test_a_percentile_is_the_nearest_rank_within_one_part_in_128(seconds: list[float], percent: float) -> None:
    us = sorted(int(value * 1e6) for value in seconds)
    expected = us[max(1, math.ceil(len(us) * percent / 100)) - 1]
    found = filled(seconds).percentile_ms(percent)
    assert found is not None
    assert expected <= round(found * 1000) <= expected * (1 + 1 / 128)


@given(LATENCIES, LATENCIES, PERCENTS)
def test_merging_is_the_same_as_recording_all_in_one(first: list[float], second: list[float], percent: float) -> None:
    both = merged([filled(first), filled(second)])
    assert both.count == len(first) + len(second)
    assert both.percentile_ms(percent) == filled(first + second).percentile_ms(percent)


@given(LATENCIES)
def test_the_sparse_form_keeps_everything(seconds: list[float]) -> None:
    histogram = filled(seconds)
    assert Histogram(histogram.sparse()).sparse() == histogram.sparse()


def test_an_empty_histogram_has_no_percentile() -> None:
    assert Histogram().percentile_ms(99) is None


def test_a_clock_that_stepped_back_and_an_endless_wait_stay_inside() -> None:
    histogram = filled([-1.0, 1e9])
    assert histogram.count == 2
    assert histogram.percentile_ms(1) == 0.0
