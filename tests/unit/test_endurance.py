"""Whether anything grows: the verdict of an endurance run."""

import pytest

from app.load.endurance import LIMITS, MinuteReading, TableSize, rise, slopes


def minutes(megabytes: list[float]) -> list[MinuteReading]:
    return [
        MinuteReading(
            minute=number,
            events_per_sec=1_000.0,
            reads_per_sec=200.0,
            event_p99=20.0,
            read_p99=10.0,
            lag=100.0,
            rss_mb=200.0,
            tables=[TableSize("events", round(size * 1e6), 0, 1, 1), TableSize("items", 0, 1_000_000, 1, 1)],
        )
        for number, size in enumerate(megabytes, 1)
    ]


def verdict(megabytes: list[float]) -> dict[str, bool]:
    return {slope.name: slope.passed for slope in slopes(minutes(megabytes))}


def test_a_table_that_grows_all_the_time_fails() -> None:
    assert verdict([10.0 + number for number in range(30)]) == {name: name != "tables_mb" for name in LIMITS}


def test_a_table_that_has_filled_in_the_first_third_passes() -> None:
    assert all(verdict([10.0 * min(number, 10) for number in range(30)]).values())


def test_a_size_that_goes_up_and_down_passes() -> None:
    assert all(verdict([100.0 + 8.0 * (number % 2) for number in range(30)]).values())


def test_too_few_minutes_say_nothing() -> None:
    assert slopes(minutes([1.0, 2.0, 3.0])) == []


@pytest.mark.parametrize(("values", "expected"), [([1.0], 0.0), ([0.0, 0.0], 0.0), ([2.0, 3.0, 4.0], 2 / 3)])
def test_the_rise_is_a_share_of_the_mean(values: list[float], expected: float) -> None:
    assert rise(values) == pytest.approx(expected)
