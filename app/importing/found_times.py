"""Finds out which columns hold a file's times, and of which form they are."""

import re
from datetime import datetime
from datetime import time as midnight
from pathlib import Path
from typing import Any, Final

from msgspec import structs

from app.importing.contents import read_values
from app.importing.exploded import exploded
from app.importing.layouts import C, FileLayout, is_taken, preparer
from app.importing.lines import before_damage
from app.importing.mapping import Columns, plain_name
from app.importing.rows import BadRow
from app.importing.time_patterns import pattern_of
from app.importing.times import time_parser
from app.importing.values import JOINED, absent

_CLOCK: Final = re.compile(r"\d\d?:\d\d(:\d\d(\.\d+)?)?( ?[AaPp]\.?[Mm]\.?)?")
_LATEST_MS: Final = 7_258_118_400_000  # the year 2200: a later number is a date such as 20140514044115


def with_date(path: Path, source: FileLayout[Columns]) -> FileLayout[Columns]:
    """The layout whose time has its date in one column and its clock in another, as `order_date` and
    `order_time`, where the first ones are such.
    """
    column = source.columns.fields["time"]
    rows = before_damage(read_values(path, source, lambda values: False))
    first = next((found[0] for found in rows if isinstance(found, tuple)), {})
    own = plain_name(column)
    beside = {own.replace("date", "time")} if "date" in own else {"date", own.replace("time", "date")}
    other = next((name for name in first if plain_name(name) in beside - {own}), None)
    if other is None:
        return source
    date, clock = (column, other) if "date" in own else (other, column)
    if not _is_clock(first.get(clock)) or not _is_day(first.get(date)):
        return source
    fields = {**source.columns.fields, "time": f"{date}{JOINED}{clock}"}
    return structs.replace(source, columns=structs.replace(source.columns, fields=fields))


def _is_clock(value: Any) -> bool:
    return _CLOCK.fullmatch(str(value).strip()) is not None


def _is_day(value: Any) -> bool:
    """A workbook's date is a time at midnight."""
    return value.time() == midnight() if isinstance(value, datetime) else not absent(value) and ":" not in str(value)


def with_time_format(path: Path, source: FileLayout[C], column: str) -> FileLayout[C]:
    """The layout with the pattern of its times, where they are of another form than `auto` reads."""
    columns = source.columns
    if columns.time_format != "auto":
        return source
    parse = time_parser("auto", columns.timezone, latest_ms=_LATEST_MS, old_dates=True)
    rows = before_damage(read_values(path, source, lambda values: False))
    prepare = preparer(source)
    times = (
        values.get(column)
        for found in rows
        if not isinstance(found, BadRow)
        for values in exploded(*found, source.row_lists)
        if not isinstance(values, BadRow) and is_taken(prepare, values) and not absent(values.get(column))
    )
    pattern = pattern_of(times, parse)
    return structs.replace(source, columns=structs.replace(columns, time_format=pattern))
