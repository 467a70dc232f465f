"""Percentiles and ratios between two snapshots of cumulative counts."""

import math

from hypothesis import given
from hypothesis import strategies as st

from app.core.sla import Snapshot, error_ratio, latency, percentile

BOUNDS = (1.0, 10.0, 100.0, math.inf)


def snapshot(*counts: float, **families: float) -> Snapshot:
    return Snapshot(0.0, BOUNDS, {"/reco": counts} if counts else {}, families)


def test_only_what_happened_between_the_two_counts() -> None:
    found = latency(snapshot(100, 100, 100, 100), snapshot(100, 190, 200, 200), ["/reco"])
    assert found.requests == 100
    assert found.p50_ms == 1 + 9 * 50 / 90
    assert found.p95_ms == 10 + 90 * 5 / 10


def test_a_route_that_is_new_or_was_never_called() -> None:
    assert latency(snapshot(), snapshot(0, 1, 1, 1), ["/reco", "/popular"]).requests == 1
    assert latency(snapshot(), snapshot(), ["/reco"]).p99_ms is None


def test_beyond_the_last_bound_it_is_at_least_that() -> None:
    assert percentile(BOUNDS, (0, 0, 0, 5), 0.5) == 100.0


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=4).filter(any), st.floats(0.01, 0.99))
def test_percentiles_grow_and_stay_inside_the_bounds(new: list[int], share: float) -> None:
    cumulative = [float(sum(new[: index + 1])) for index in range(4)]
    low, high = (percentile(BOUNDS, cumulative, part) for part in (share / 2, share))
    assert low is not None
    assert high is not None
    assert 0.0 <= low <= high <= 100.0


def test_the_share_of_errors() -> None:
    assert error_ratio(snapshot(), snapshot()) == 0.0
    assert error_ratio(snapshot(**{"5xx": 5.0}), snapshot(**{"2xx": 3.0, "5xx": 6.0})) == 0.25
