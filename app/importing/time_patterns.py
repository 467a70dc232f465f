"""Finds the pattern of a file's times, where they are neither numbers nor ISO 8601."""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from app.errors import UserError
from app.importing.time_text import plain_time
from app.importing.times import by_pattern_of

_DAYS: Final = (
    *("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d"),
    *("%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y"),
    *("%b %d %Y", "%B %d %Y", "%d/%b/%Y", "%Y-%m-%d", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y", "%y-%m-%d"),
)
_CLOCKS: Final = (
    *("", " %H:%M:%S", " %H:%M", " %H:%M:%S.%f", " %I:%M:%S %p", " %I:%M %p", ", %I:%M:%S %p", ", %I:%M %p"),
    *(", %H:%M:%S", ", %H:%M", " %H:%M:%S %z", ":%H:%M:%S %z", "T%H:%M:%S", "%H%M%S", " %H:%M %z"),
    *(" %I:%M:%S %p %z", " %I:%M %p %z", " %I:%M:%S.%f %p", " %I:%M:%S.%f %p %z", " at %I:%M:%S %p", " at %H:%M:%S"),
)
_CLOCKS_IN_FRONT: Final = ("%H:%M:%S ", "%H:%M ", "%I:%M:%S %p ", "%I:%M %p ")
# Without a mark between them, a number of few digits would be read with parts of one digit: 202405011234 as 12:03:04.
_DIGITS: Final = {"%Y%m%d": 8, "%Y%m%d%H%M": 12, "%Y%m%d%H%M%S": 14}
_PATTERNS: Final = (
    *(day + clock for day in _DAYS for clock in _CLOCKS),
    *(clock + day for day in _DAYS for clock in _CLOCKS_IN_FRONT),
    *("%Y%m%d%H%M", "%Y%m%d %H%M%S", "%Y %m %d", "%Y %m %d %H"),
    *("%b %d %H:%M:%S %Y", "%b %d %H:%M:%S %z %Y", "%b %d %H:%M:%S %Y %z"),
)
_DIRECTIVE: Final = re.compile("%.")
_SHORTEST: Final = len("1/1/99")
_DAYS_FROM: Final = 32_874
_DAYS_TO: Final = 73_051
_LOOKED_AT: Final = 1_000
_MOST_LOOKED_AT: Final = 100_000


def pattern_of(times: Iterable[Any], parse: Callable[[Any], int]) -> str:
    """`auto` if `parse` reads one of the first times, or no pattern reads most; else the pattern that does, or `excel`.

    Raises `UserError` if the order of day and month cannot be told.
    """
    rest = (str(time).strip() for time in times)
    first = list(islice(rest, _LOOKED_AT))
    if not first or any(_reads(parse, time) for time in first):
        return "auto"
    if all(map(_is_day_number, first)):
        return "excel"
    if len(first[0]) < _SHORTEST:
        return "auto"
    fitting = _fitting(_PATTERNS, first)
    more = islice(rest, _MOST_LOOKED_AT)
    while len(fitting) > 1 and (block := list(islice(more, _LOOKED_AT))):
        fitting = _fitting(fitting, block) or fitting
    if len(fitting) > 1:
        patterns = " or ".join(f"--time-format '{pattern}'" for pattern in fitting)
        raise UserError(f"times such as {first[0]} may mean several things: say {patterns}")
    return fitting[0] if fitting else "auto"


def _fitting(patterns: Sequence[str], times: Sequence[str]) -> list[str]:
    """The patterns that read most of the times; of these the ones that read the most, and one of those that agree."""
    read = {pattern: [_time(time, pattern) for time in times] for pattern in patterns if _may_fit(pattern, times)}
    counts = {pattern: len(found) - found.count(None) for pattern, found in read.items()}
    most = max(counts.values(), default=0)
    distinct: dict[tuple[datetime | None, ...], str] = {}
    for pattern, count in counts.items():
        if count == most and 2 * count > len(times):
            distinct.setdefault(tuple(read[pattern]), pattern)
    return list(distinct.values())


def _may_fit(pattern: str, times: Sequence[str]) -> bool:
    marks = set(_DIRECTIVE.sub("", pattern).replace("T", ""))
    return any(marks <= {*time, *plain_time(time).text} and _time(time, pattern) for time in times[:20])


def _time(text: str, pattern: str) -> datetime | None:
    if len(text) != _DIGITS.get(pattern, len(text)):
        return None
    try:
        return by_pattern_of(text, pattern)[0]
    except ValueError:
        return None


def _is_day_number(text: str) -> bool:
    """Whether it is a day of 1990 to 2099, as Excel numbers them. As seconds it would be of January 1970."""
    try:
        return _DAYS_FROM <= float(text.replace(",", ".")) < _DAYS_TO
    except ValueError:
        return False


def _reads(parse: Callable[[Any], int], time: str) -> bool:
    try:
        parse(time)
    except ValueError:
        return False
    return True
