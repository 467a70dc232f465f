"""Whether anything grows: the verdict of an endurance run."""

from collections.abc import Sequence
from itertools import repeat

import pytest

from app.load.endurance import LIMITS, MinuteReading, TableSize, rise, slopes
from app.load.endurance_report import verdict_lines


def minutes(megabytes: list[float], lags: Sequence[float] = ()) -> list[MinuteReading]:
    return [
        MinuteReading(
            minute=number,
            events_per_sec=1_000.0,
            reads_per_sec=200.0,
            event_p99=20.0,
            read_p99=10.0,
            lag=lag,
            rss_mb=200.0,
            tables=[TableSize("events", round(size * 1e6), 0, 1, 1), TableSize("items", 0, 1_000_000, 1, 1)],
        )
        for number, (size, lag) in enumerate(zip(megabytes, lags or repeat(100.0), strict=False), 1)
    ]


def verdict(megabytes: list[float]) -> dict[str, bool]:
    return {slope.name: slope.passed for slope in slopes(minutes(megabytes))}


def test_a_table_that_grows_all_the_time_fails() -> None:
    assert verdict([10.0 + number for number in range(30)]) == {name: name != "tables_mb" for name in LIMITS}


def test_a_table_that_has_filled_in_the_first_third_passes() -> None:
    assert all(verdict([10.0 * min(number, 10) for number in range(30)]).values())


def test_a_size_that_goes_up_and_down_passes() -> None:
    assert all(verdict([100.0 + 8.0 * (number % 2) for number in range(30)]).values())


def test_too_few_minutes_give_no_verdict() -> None:
    few = minutes([1.0, 2.0, 3.0])
    assert slopes(few) == []
    assert [line.plain for line in verdict_lines(few)] == ["No verdict: it needs 15 minutes or more, and here are 3."]


def test_the_verdict_names_the_tables_that_grow() -> None:
    lines = [line.plain for line in verdict_lines(minutes([10.0 + number for number in range(30)]))]
    assert lines[0] == (
        "GROWS: the size of the tables by +64.4% from the first third to the end (limit 5%); "
        "most of it events by 19.0 MB"
    )
    assert lines[1] == "flat: the size of the indexes by +0.0% from the first third to the end (limit 5%)"


@pytest.mark.parametrize(("a_minute", "flat"), [(0.0, True), (100.0, True), (600.0, False)])
def test_a_consumer_that_falls_behind_all_the_time_fails(a_minute: float, flat: bool) -> None:
    """At 60,000 events a minute."""
    lags = [150.0 + 300.0 * (number % 2) + a_minute * number for number in range(30)]
    found = {slope.name: slope.passed for slope in slopes(minutes([10.0] * 30, lags))}
    assert found == {name: flat or name != "lag" for name in LIMITS}


@pytest.mark.parametrize(("values", "expected"), [([1.0], 0.0), ([0.0, 0.0], 0.0), ([2.0, 3.0, 4.0], 2 / 3)])
def test_the_rise_is_a_share_of_the_mean(values: list[float], expected: float) -> None:
    assert rise(values) == pytest.approx(expected)
