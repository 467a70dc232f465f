"""Times with zones by name, in notations of databases and languages, and as Excel's day numbers."""

import time
from pathlib import Path
from typing import Final

import pytest

from app.errors import UserError
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, Row, detect, read_rows
from app.importing.screen import describe

NOW_MS: Final = time.time_ns() // 1_000_000
MS: Final = 1_715_594_400_000  # 13 May 2024, 10:00 UTC


def read(path: Path, *times: str, **options: str) -> list[int | str]:
    """The time of each row, or why it was rejected."""
    path.write_text("user_id|item_id|event_type|time\n" + "".join(f"u|i{n}|view|{at}\n" for n, at in enumerate(times)))
    rows = read_rows(path, detect(path, ImportOptions(quote="", **options)), latest_ms=NOW_MS)
    return [row.reason if isinstance(row, BadRow) else row.ts_ms for row in rows]


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-13 12:00:00 Europe/Berlin",
        "2024-05-13T12:00:00[Europe/Berlin]",
        "2024-05-13 12:00:00 CEST",
        "2024-05-13 13:00:00 MSK",
        "2024-05-13 03:00:00 PDT",
        "2024-05-13 12:00:00.000 UTC+2",
        "2024-05-13 12:00 GMT+02:00",
        "Mon May 13 03:00:00 PDT 2024",
        "Mon May 13 2024 12:00:00 GMT+0200 (Central European Summer Time)",
        "Monday, May 13, 2024 10:00 AM",
        "May 13, 2024, 10:00:00\u202fAM",
        "May 13 2024 10:00AM",
        "13 May 2024 10:00:00 a.m.",
        "13-MAY-24 10.00.00.000000 AM",
        "13-MAY-24 10.00.00.000000000 AM +00:00",
        "2024-05-13-10.00.00.000000",
        "[13/May/2024:10:00:00 +0000]",
        "2024年5月13日 10:00",
        "2024년 5월 13일 10:00",
        "2024. 5. 13. 10:00",
        "13. 5. 2024 10:00:00",
        "13.5.2024 10.00",
        "2024-05-13 10.00.00",
        "2024-05-13t10:00:00z",
        "2024-05-13T09:00:00\u221201:00",
        "13MAY2024:10:00:00",
        "May 13, 2024 @ 10:00:00.000",
        "13th May 2024 10:00",
        "May 13th, 2024 10:00",
        "/Date(1715594400000)/",
        "/Date(1715594400000+0200)/",
        'ISODate("2024-05-13T10:00:00Z")',
        "'2024-05-13 10:00:00'",
        "45425.4166666667",
        "45425,4166666667",
        "1715594400,000",
        "1,715,594,400",
        "638511912000000000",
        "202405131000",
        "20240513 100000",
        "10:00 13.05.2024",
        "13.05.24 10:00",
        "2024-05-13 10:00:00 UTC",
        "2024-05-13 10:00:00.000 UTC",
        "2024-05-13 12:00:00 +0200",
        "2024-05-13 12:00:00.000 +0200 UTC",
        "10:00:00 AM May 13, 2024",
        "2024 05 13 10",
    ],
)
def test_time_is_read_as_meant(tmp_path: Path, text: str) -> None:
    (found,) = read(tmp_path / "log.txt", text)
    assert isinstance(found, int), found
    assert abs(found - MS) < 10


def test_digits_alone_are_told_apart_by_how_many_they_are(tmp_path: Path) -> None:
    """12:34 is neither 12:03:04, nor is it a number of milliseconds."""
    assert read(tmp_path / "log", "202405131234") == [MS + (2 * 60 + 34) * 60_000]
    assert read(tmp_path / "log", "20240513123456") == [MS + ((2 * 60 + 34) * 60 + 56) * 1_000]


def test_a_zone_with_summer_time_has_the_offset_of_the_day(tmp_path: Path) -> None:
    found = read(tmp_path / "log", "2024-01-13 11:00 Europe/Berlin", "2024-05-13 12:00 Europe/Berlin")
    assert found == [MS - 121 * 86_400_000, MS]


def test_clocks_and_days_of_one_digit_beside_others(tmp_path: Path) -> None:
    hours = ["2024-05-13 9:00:00", "2024-05-13 10:00:00", "2024-5-13 10:00", "2024-05-13T9:00:00Z", "2024-5-1"]
    found = read(tmp_path / "log", *hours)
    assert found == [MS - 3_600_000, MS, MS, MS - 3_600_000, MS - 12 * 86_400_000 - 36_000_000]


@pytest.mark.parametrize(
    ("names", "first"),
    [
        ("event_date|event_time", "2024-05-13|10:00"),
        ("OrderDate|OrderTime", "13.05.2024|10:00:00"),
        ("time|date", "10:00 AM|5/13/2024"),
    ],
)
def test_day_and_clock_in_two_columns_are_one_time(tmp_path: Path, names: str, first: str) -> None:
    path = tmp_path / "log"
    path.write_text(f"user_id|item_id|event_type|{names}\nu|i|view|{first}\n")
    (row,) = read_rows(path, detect(path, ImportOptions()), latest_ms=NOW_MS)
    assert isinstance(row, Row), row
    assert row.ts_ms == MS


def test_day_and_clock_of_json_are_one_time(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text('{"user": "u", "item": "i", "type": "view", "date": "2024-05-13", "time": "10:00"}\n')
    (row,) = read_rows(path, detect(path, ImportOptions()), latest_ms=NOW_MS)
    assert isinstance(row, Row), row
    assert row.ts_ms == MS


def test_a_pattern_reads_zones_too(tmp_path: Path) -> None:
    assert read(tmp_path / "log", "13.05.2024 12:00 CEST", "13.05.2024 11:00 WEST") == [MS, MS]
    assert read(tmp_path / "log", "13.05.2024 12:00 Europe/Berlin", "13.05.2024 10:00") == [MS, MS]


def test_a_zone_of_several_meanings_is_asked_about(tmp_path: Path) -> None:
    (reason,) = read(tmp_path / "log", "2024-05-13 10:00:00 IST")
    assert "say --time-format with IST in it, and --timezone, since IST may be several zones" in str(reason)
    options = {"time_format": "%Y-%m-%d %H:%M:%S IST", "timezone": "Asia/Kolkata"}
    assert read(tmp_path / "log", "2024-05-13 15:30:00 IST", **options) == [MS]


def test_day_numbers_are_told_and_need_all_to_be_such(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert read(path, "45425.5", "45426") == [MS + 7_200_000, MS + 14 * 3_600_000]
    assert "times as Excel's day numbers" in describe(detect(path, ImportOptions(quote="")))
    assert read(path, "45425.5", timezone="Europe/Berlin") == [MS]
    (first, _) = read(path, "45425.5", "12.5")
    assert "would be before 1990" in str(first)
    assert read(path, "x", "45425.5", time_format="excel") == [
        "time: 'x' is not a number of days, as --time-format excel says",
        MS + 7_200_000,
    ]


def test_an_unknown_format_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one of auto, iso, s, ms, excel, or a pattern"):
        read(tmp_path / "log", "1", time_format="days")
