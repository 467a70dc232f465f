from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import UserError
from app.importing.times import time_parser

LATEST = 1_800_000_000_000
TIME_MS = 1_659_304_800_025


def parse(value: object, time_format: str = "auto", timezone: str = "UTC") -> int:
    return time_parser(time_format, timezone, latest_ms=LATEST)(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (TIME_MS, TIME_MS),
        (str(TIME_MS), TIME_MS),
        (f" {TIME_MS} ", TIME_MS),
        (1_659_304_800, 1_659_304_800_000),
        ("1659304800.025", TIME_MS),
        (1_659_304_800.025, TIME_MS),
        (TIME_MS * 1000 + 7, TIME_MS),
        (TIME_MS * 1_000_000 + 7, TIME_MS),
        ("2022-07-31T22:00:00.025Z", TIME_MS),
        ("2022-07-31 22:00:00.025", TIME_MS),
        ("2022-08-01T00:00:00.025+02:00", TIME_MS),
        ("2022-07-31", 1_659_225_600_000),
    ],
)
def test_auto_tells_units_and_iso_apart(value: object, expected: int) -> None:
    assert parse(value) == expected


@given(st.integers(min_value=660_000_000_000, max_value=LATEST))
def test_every_notation_of_a_time_gives_the_same_timestamp(ts_ms: int) -> None:
    assert parse(datetime.fromtimestamp(ts_ms / 1000, UTC).isoformat()) == ts_ms
    assert parse(ts_ms) == ts_ms
    assert parse(str(ts_ms * 1000)) == ts_ms
    assert parse(ts_ms * 1_000_000) == ts_ms
    assert parse(ts_ms // 1000) == ts_ms // 1000 * 1000


def test_a_time_without_zone_is_in_the_given_one() -> None:
    winter, summer = "2021-01-15 12:00:00", "2021-07-15 12:00:00"
    assert parse(winter) - parse(winter, timezone="Europe/Berlin") == 3_600_000
    assert parse(summer) - parse(summer, timezone="Europe/Berlin") == 7_200_000
    assert parse(winter + "Z", timezone="Europe/Berlin") == parse(winter)


def test_times_are_read_by_a_given_pattern() -> None:
    assert parse("1/12/2010 08:26", "%d/%m/%Y %H:%M") == parse("2010-12-01T08:26:00Z")
    with pytest.raises(ValueError, match="does not fit"):
        parse("2010-12-01", "%d/%m/%Y")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "nan",
        "inf",
        "-inf",
        "1e400",
        None,
        True,
        [],
        {},
        "9" * 5000,
        "-1659304800",
        "0",
        20101201,
        "20/1/2011",
    ],
)
def test_an_invalid_time_is_refused_with_its_value(value: object) -> None:
    with pytest.raises(ValueError, match=r"neither a number|before 1990|in the future"):
        parse(value)


@pytest.mark.parametrize(("value", "time_format"), [("1659304800", "ms"), (TIME_MS, "s"), (LATEST + 1, "ms")])
def test_a_wrong_unit_is_refused_and_not_believed(value: object, time_format: str) -> None:
    with pytest.raises(ValueError, match="is the unit right"):
        parse(value, time_format)


def test_the_bound_itself_is_allowed() -> None:
    assert parse(LATEST, "ms") == LATEST


@pytest.mark.parametrize(
    ("time_format", "timezone"), [("unix", "UTC"), ("auto", "Mars/Base"), ("auto", "../etc/passwd")]
)
def test_an_unknown_time_format_or_zone_is_an_error(time_format: str, timezone: str) -> None:
    with pytest.raises(UserError, match=r"--time-format unix|--timezone"):
        time_parser(time_format, timezone, latest_ms=LATEST)
