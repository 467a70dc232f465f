"""Columns that are folders: `dt=2026-01-01/type=view/part-0.parquet`, as Hive, Spark and DuckDB write them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from msgspec import structs

from app.importing.lines import FileLine
from app.importing.mapping import ImportOptions, match, plain_name
from app.importing.rows import BadRow
from app.importing.values import ALTERNATIVES, JOINED

_FOLDER: Final = re.compile(r"(?P<name>[^=]+)=(?P<value>.*)")
_MISSING: Final = "__HIVE_DEFAULT_PARTITION__"

_Found = TypeVar("_Found", bound="tuple[dict[str, Any], FileLine] | BadRow")


def partitions_of(path: PurePath) -> dict[str, str]:
    """Column → value, by the folders of the path; empty text for a missing value."""
    found = filter(None, map(_FOLDER.fullmatch, path.parts[:-1]))
    values = {unquote(folder["name"]): unquote(folder["value"]) for folder in found}
    return {name: "" if value == _MISSING else value for name, value in values.items()}


def with_partitions(rows: Iterator[_Found], partitions: Mapping[str, str]) -> Iterator[_Found]:
    """The rows with these values. A column of the file itself wins."""
    for row in rows:
        if not isinstance(row, BadRow):
            values = row[0]
            for name, value in partitions.items():
                values.setdefault(name, value)
        yield row


def guessed_from(
    present: Sequence[str],
    partitions: Mapping[str, str],
    options: ImportOptions,
    usual_columns: Mapping[str, Sequence[str]],
) -> list[str]:
    """The names of which the mapping is guessed: those of folders only where no column of the file fits their field.

    A folder with the day says less than a column with the time. Names that an option mentions stay.
    """
    own = [name for name in present if name not in partitions]
    fields, _ = match(own, structs.replace(options, columns={}), usual_columns)
    taken = {usual for field in fields for usual in usual_columns[field]}
    chosen = [part for column in options.columns.values() for part in column.split(ALTERNATIVES)]
    mentioned = {name for part in chosen for name in part.split(JOINED)}
    return [name for name in present if name not in partitions or name in mentioned or plain_name(name) not in taken]
