"""Reads a file's values, row by row: column → value, whatever the format."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from app.importing.aligned_tables import Aligned, unaligned
from app.importing.boxed_tables import Box, unboxed, why_incomplete
from app.importing.delimited import TOO_LONG, Splitter, split_lines
from app.importing.json_lists import decode_list, read_lists
from app.importing.json_text import decode_object, read_objects
from app.importing.lines import FileLine, read_lines
from app.importing.partitions import with_partitions
from app.importing.rows import BadRow
from app.importing.streams import packed_size
from app.importing.tables import TableKind, read_table
from app.importing.values import Refused, absent

_SHOWN_CHARACTERS: Final = 2_000

Values = dict[str, Any]
FoundValues = tuple[Values, FileLine] | BadRow
"""The values of a row with its line, or a line that has none."""
IsRow = Callable[[Mapping[str, Any]], bool]


class FileFormat(Struct, frozen=True, kw_only=True):
    """How a file's values are read. `header` is empty for JSON. `skip`: so many lines are in front of a text's first.

    `table` is None for text; `sheet` is the one of a workbook whose columns these are, and `left_out` are the sheets
    that lack them. `by_line`: JSON text has one object on each line. `fill_down`: while the first column keeps its
    value, empty values of the others repeat those of the row above. `lists`: each row is a JSON list. `drawn`: how the
    table is drawn, where it is. `partitions`: columns that the folders of the file name, with their value in all of
    its rows.
    """

    header: tuple[str, ...] = ()
    header_line: bool = True
    skip: int = 0
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    by_line: bool = True
    lists: bool = False
    table: TableKind | None = None
    sheet: str = ""
    left_out: tuple[str, ...] = ()
    fill_down: tuple[str, ...] = ()
    drawn: Box | Aligned | None = None
    partitions: Mapping[str, str] = {}

    @property
    def names_in_text(self) -> bool:
        """Whether the first line of a text was taken for the names of the columns."""
        return self.table is None and bool(self.header) and self.header_line


def read_values(path: Path, file: FileFormat, is_row: IsRow) -> Iterator[FoundValues]:
    """The file's rows in order, each with its line; `is_row` tells of text whether values would be a row.

    Raises `UserError` when reading fails.
    """
    if file.table is not None:
        found = _of_table(path, file, file.table)
    elif file.lists:
        found = _of_lists(path, file)
    elif file.header:
        found = _of_text(path, file, lambda values: is_row({**file.partitions, **values}))
    else:
        found = json_values(read_objects(path, file.encoding, by_line=file.by_line))
    if file.partitions:
        found = with_partitions(found, file.partitions)
    return _filled(found, file.fill_down) if file.fill_down and file.header else found


def undrawn(lines: Iterator[FileLine], drawn: Box | Aligned | None) -> Iterator[FileLine]:
    """The lines, with the values of a drawn table between delimiters."""
    if drawn is None:
        return lines
    return unboxed(lines, drawn) if isinstance(drawn, Box) else unaligned(lines, drawn)


def bad_row(line: FileLine, reason: str, values: Any = None) -> BadRow:
    """The rejected line with its text, or with the values that were read from it."""
    raw = line.raw or msgspec.json.encode(values, enc_hook=str)
    text = raw[: 4 * _SHOWN_CHARACTERS].decode(errors="replace")
    return BadRow(line=line.number, pos=line.pos, reason=reason, text=text[:_SHOWN_CHARACTERS])


def _of_text(path: Path, file: FileFormat, is_row: IsRow) -> Iterator[FoundValues]:
    header = file.header

    def cells_are_row(cells: Sequence[str]) -> bool:
        return is_row(dict(zip(header, cells, strict=True)))

    splitter = Splitter(file.delimiter, file.quote)
    lines = islice(undrawn(read_lines(path, file.encoding), file.drawn), file.skip, None)
    records = split_lines(lines, splitter, len(header), file.encoding, cells_are_row)
    first = next(records, None) if file.header_line else None
    names = (first.values if first is not None else None) or []
    columns = dict(zip(names, header, strict=True)) if names else {}
    for record in records:
        values = record.values
        if values and values[0] in columns and sorted(values) == sorted(names):
            # The file was joined from others, which may have their columns in another order.
            header = tuple(map(columns.__getitem__, values)) if len(columns) == len(names) else header
            continue
        reason = record.reason or (why_incomplete(record.values, file.drawn) if isinstance(file.drawn, Box) else "")
        if reason:
            yield bad_row(record.line, reason)
        else:
            yield dict(zip(header, record.values, strict=True)), record.line


def _of_lists(path: Path, file: FileFormat) -> Iterator[FoundValues]:
    for line in islice(read_lists(path, file.encoding), 1 if file.header_line else 0, None):
        try:
            values = decode_list(line.raw, len(file.header))
        except Refused as error:
            yield bad_row(line, str(error) if line.whole else TOO_LONG)
        else:
            yield dict(zip(file.header, values, strict=True)), line


def _of_table(path: Path, file: FileFormat, kind: TableKind) -> Iterator[FoundValues]:
    size = packed_size(path)
    for batch in read_table(path, kind, () if file.header_line else file.header, file.sheet):
        pos = round(size * batch.part)
        for number, values in enumerate(batch.rows, batch.first):
            yield dict(zip(file.header, values, strict=True)), FileLine(number, pos, b"")


def json_values(lines: Iterable[FileLine]) -> Iterator[FoundValues]:
    """The values of lines that hold one JSON object each."""
    for line in lines:
        if not line.whole:
            yield bad_row(line, TOO_LONG)
            continue
        try:
            values = decode_object(line.raw)
        except Refused as error:
            yield bad_row(line, str(error))
        else:
            yield values, line


def _filled(rows: Iterator[FoundValues], columns: Sequence[str]) -> Iterator[FoundValues]:
    key, *others = columns
    group: Any = None
    last: Values = {}
    for row in rows:
        if not isinstance(row, BadRow):
            values = row[0]
            if values.get(key) == group:
                values |= {name: last[name] for name in others if name in last and absent(values.get(name))}
            group = values.get(key)
            last = values
        yield row
