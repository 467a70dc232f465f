"""Parses times as logs write them: RFC 3339, seconds, milliseconds, or a given pattern."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from datetime import time as midnight
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app.errors import UserError
from app.importing.time_text import plain_time, unclear_zone

# An earlier time means a wrong unit: seconds read as milliseconds land in January 1970.
_EARLIEST_MS: Final = int(datetime(1990, 1, 1, tzinfo=UTC).timestamp() * 1000)
# Seconds reach 1e11 in the year 5138, milliseconds 1e14, and so on: a number's size tells its unit.
_MILLIS_FROM: Final = 10**11
_UNITS: Final = ((_MILLIS_FROM, 1000, 1), (10**14, 1, 1), (10**17, 1, 1000))
# With a comma before the decimals, as day numbers of a spreadsheet in Europe, and with commas between thousands.
_COMMA: Final = re.compile(r"\d+,\d+")
_THOUSANDS: Final = re.compile(r"\d{1,3}(?:,\d{3}){2,}")
_UTC: Final = " UTC"
_KNOWN_TIMES: Final = 4_096
_FIRST_DAY: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - Excel's day 0, in the zone of the file
_LONG: Final = 20
_LAST_DAY: Final = 2_958_465
"""The year 9999, where Excel ends."""
_NANOSECONDS: Final = (1, 1_000_000)
# .NET counts tenths of microseconds since the year 1; as nanoseconds since 1970, these would all be of 1990.
_TICKS_AT_1970: Final = 621_355_968_000_000_000
_TICKS: Final = range(630_822_816_000_000_000, 646_602_048_000_000_000)  # of the years 2000 to 2049

TimeParser = Callable[[Any], int]


def time_parser(time_format: str, timezone: str, *, latest_ms: int | None, old_dates: bool = False) -> TimeParser:
    """A function from a file's value to milliseconds since 1970; it raises `ValueError` with the reason.

    `time_format` is auto, iso, s, ms, excel (days since 1899) or a strptime pattern. `timezone` is of times that name
    none. Times after `latest_ms` are refused, since one event from the future would outweigh all present ones (None: no
    limit).
    `old_dates`: a date may lie before 1990, when it is written as one; a number may not.
    Raises `UserError` for a time zone or a format that does not exist.
    """
    parse = _parser(time_format, _zone(timezone))

    def checked(value: Any) -> int:
        ts_ms = parse(value)
        if ts_ms < _EARLIEST_MS and not (old_dates and _number(value) is None):
            raise ValueError(f"{_shown(value)} would be before 1990; is the unit right? say --time-format")
        if latest_ms is not None and ts_ms > latest_ms:
            raise ValueError(f"{_shown(value)} lies in the future; is the unit right? say --time-format")
        return ts_ms

    return checked


def _parser(time_format: str, zone: tzinfo) -> TimeParser:
    def iso(value: Any) -> int:
        return _iso(value, zone)

    def auto(value: Any) -> int:
        if type(value) is str and value[4:5] == "-" and value[:4].isdecimal():
            return iso(value)  # a year: no number looks so
        number = int(value) if type(value) is str and value.isdecimal() and len(value) < _LONG else _number(value)
        if number is None:
            return iso(value)
        return _in_millis(number)

    def by_number(value: Any) -> int:
        number = _number(value)
        if number is None:
            raise ValueError(f"{_shown(value)} is not a number, as --time-format {time_format} says")
        return round(number * 1000) if time_format == "s" else round(number)

    @lru_cache(_KNOWN_TIMES)  # the lines of an order have one time
    def of_text(text: str) -> int:
        found, own = by_pattern_of(text, time_format)
        return _millis(found, own or zone)

    def by_pattern(value: Any) -> int:
        try:
            return of_text(str(value))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{_shown(value)} does not fit --time-format: {error}") from None

    def by_day(value: Any) -> int:
        return _day(value, zone)

    if "%" in time_format:
        return by_pattern
    named: dict[str, TimeParser] = {"auto": auto, "iso": iso, "s": by_number, "ms": by_number, "excel": by_day}
    if time_format not in named:
        raise UserError(f"--time-format {time_format}: one of {', '.join(named)}, or a pattern like '%d/%m/%Y %H:%M'")
    return named[time_format]


def _iso(value: Any, zone: tzinfo) -> int:
    if isinstance(value, date):
        return _millis(value if isinstance(value, datetime) else datetime.combine(value, midnight()), zone)
    text = str(value).strip()
    try:
        return _millis(datetime.fromisoformat(text), zone)
    except (ValueError, OverflowError):
        pass
    try:
        # Before all other forms, since a whole file may have it.
        return _millis(datetime.fromisoformat(_of_database(text)), zone)
    except (ValueError, OverflowError):
        pass
    plain = plain_time(text)
    try:
        if plain.text.removeprefix("-").isdecimal() and plain.text != text:
            return _in_millis(int(plain.text))
        return _millis(datetime.fromisoformat(_of_database(plain.text)), plain.zone or zone)
    except (ValueError, OverflowError):
        name = unclear_zone(text)
        hint = f" with {name} in it, and --timezone, since {name} may be several zones" if name else ""
        raise ValueError(f"{_shown(value)} is neither a number nor ISO 8601; say --time-format{hint}") from None


def _of_database(text: str) -> str:
    """ISO 8601 of what BigQuery, Snowflake and Go write: `10:00:00 UTC`, `10:00:00 +0200`, `10:00:00 +0000 UTC`."""
    time = text.removesuffix(_UTC)
    if time[-6:-4] in (" +", " -"):
        return time[:-6] + time[-5:]
    return text if time == text else f"{time}+00:00"


def _day(value: Any, zone: tzinfo) -> int:
    number = _number(value)
    if number is None or abs(number) > _LAST_DAY:
        raise ValueError(f"{_shown(value)} is not a number of days, as --time-format excel says")
    return _millis(_FIRST_DAY + timedelta(days=number), zone)


def by_pattern_of(text: str, pattern: str) -> tuple[datetime, tzinfo | None]:
    """The time that a strptime pattern reads from the text or from its plain form, and the zone that the text names.

    Raises `ValueError`.
    """
    try:
        return datetime.strptime(text.strip(), pattern), None  # noqa: DTZ007 - a pattern need not have a zone
    except ValueError:
        plain = plain_time(text)
        return datetime.strptime(plain.text, pattern), plain.zone  # noqa: DTZ007


def _in_millis(number: float) -> int:
    if type(number) is int and 0 <= number < _MILLIS_FROM:
        return number * 1000  # most are seconds
    if type(number) is int and number in _TICKS:
        return (number - _TICKS_AT_1970) // 10_000
    times, by = _unit(abs(number))
    return round(number * times) if by == 1 else int(number // by)


def _unit(size: float) -> tuple[int, int]:
    for limit, times, by in _UNITS:
        if size < limit:
            return times, by
    return _NANOSECONDS


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC  # several times faster than the zone of that name
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UserError(f"--timezone {name}: no such time zone; for example UTC or Europe/Berlin") from None


def _millis(timestamp: datetime, zone: tzinfo) -> int:
    if timestamp.tzinfo is None:
        timestamp = timestamp.replace(tzinfo=zone)
    return round(timestamp.timestamp() * 1000)


def _number(value: Any) -> int | float | None:
    """The value as a finite number, or None. An int stays an int: nanoseconds exceed a float's precision."""
    if isinstance(value, bool):
        return None
    try:
        return int(value) if isinstance(value, int | str) else _finite(float(value))
    except (ValueError, TypeError):
        pass
    try:
        return _finite(float(value))
    except (ValueError, TypeError, OverflowError):
        pass
    if not isinstance(value, str):
        return None
    if _COMMA.fullmatch(value.strip()):
        return _finite(float(value.replace(",", ".")))
    return int(value.replace(",", "")) if _THOUSANDS.fullmatch(value.strip()) else None


def _finite(number: float) -> float | None:
    return number if -1e30 < number < 1e30 else None


def _shown(value: Any) -> str:
    return repr(value)[:60]
