"""Latencies: percentiles within the stated error, against sorted values, and unchanged by the way between processes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.load.latency import Latencies

LATENCIES = st.lists(st.floats(min_value=1e-6, max_value=3600.0), min_size=1, max_size=300)


def recorded(seconds: list[float]) -> Latencies:
    latencies = Latencies()
    for value in seconds:
        latencies.record(value)
    return latencies


@given(LATENCIES, st.floats(min_value=0.1, max_value=100.0))
def test_a_percentile_is_the_nearest_rank_within_a_thousandth(seconds: list[float], percent: float) -> None:
    us = sorted(max(1, int(value * 1e6)) for value in seconds)
    rank = len(us) * percent / 100
    # Ranks are rounded by the library, so both neighbours of a rank that is not whole are right.
    allowed = us[max(1, math.floor(rank)) - 1], us[min(len(us), math.ceil(rank) + 1) - 1]
    (found,) = recorded(seconds).percentiles_ms([percent])
    assert allowed[0] * (1 - 1e-3) <= found * 1000 <= allowed[1] * (1 + 1e-3) + 1


@given(LATENCIES)
def test_encoded_latencies_keep_their_percentiles(seconds: list[float]) -> None:
    latencies = recorded(seconds)
    copy = Latencies(latencies.encoded())
    assert copy.count == len(seconds)
    assert copy.percentiles_ms([50.0, 99.0]) == latencies.percentiles_ms([50.0, 99.0])


@given(LATENCIES, LATENCIES)
def test_values_recorded_after_a_reading_are_added_to_it(before: list[float], after: list[float]) -> None:
    latencies = recorded(before)
    assert latencies.count == len(before)
    for value in after:
        latencies.record(value)
    assert latencies.count == len(before) + len(after)
    assert latencies.percentiles_ms([50.0, 99.0]) == recorded(before + after).percentiles_ms([50.0, 99.0])


def test_without_values_there_are_no_percentiles() -> None:
    assert Latencies().percentiles_ms([99.0]) == []
    assert Latencies(Latencies().encoded()).count == 0


def test_values_out_of_range_count_as_the_nearest_ones() -> None:
    latencies = recorded([-1.0, 1e9])
    assert latencies.count == 2
    low, high = latencies.percentiles_ms([50.0, 100.0])
    assert low == pytest.approx(0.001)
    assert high > 3.6e6
