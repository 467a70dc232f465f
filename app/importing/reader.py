"""Log files and catalogues, row by row, whatever the format. A bad line does not affect the others.

source = detect(path, ImportOptions())
for row in read_rows(path, source, latest_ms=now_ms):
    ...  # a Row or a BadRow

`detect_items` and `read_items` do the same for a catalogue.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from app.errors import UserError
from app.importing.delimited import SAY_ENCODING, TOO_LONG, Splitter, split_lines
from app.importing.items import ItemColumns, ItemRow, guess_items, item_maker
from app.importing.json_text import decode_object, one_object_a_line, read_objects
from app.importing.lines import FileLine, read_lines
from app.importing.mapping import Columns, ImportOptions, guess
from app.importing.rows import BadRow, Refused, Row, row_maker
from app.importing.streams import open_bytes, packed_size
from app.importing.tables import TableKind, column_names, kind_of, read_table

__all__ = ["BadRow", "FileLayout", "ItemRow", "Row", "detect", "detect_items", "read_items", "read_rows"]

_SHOWN_CHARACTERS: Final = 2_000
_DELIMITERS: Final = (",", ";", "\t", "|", "::")
_LOOKED_AT_OBJECTS: Final = 100

C = TypeVar("C", Columns, ItemColumns)
R = TypeVar("R")
Make = Callable[[Mapping[str, Any], int, int], R | None]


class FileLayout(Struct, Generic[C], frozen=True, kw_only=True):
    """A file's format and column layout. `header` is empty for JSON.

    `table` is None for text. `by_line`: JSON text has one object on each line.
    """

    columns: C
    header: tuple[str, ...] = ()
    header_line: bool = True
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    by_line: bool = True
    table: TableKind | None = None


def detect(path: Path, options: ImportOptions) -> FileLayout[Columns]:
    """Detects the format from the file's beginning. Raises `UserError` for an unreadable file or unclear columns."""
    return _detect(path, options, guess, _LOOKED_AT_OBJECTS, options.columns.get("events", "events"))


def detect_items(path: Path, options: ImportOptions) -> FileLayout[ItemColumns]:
    """The same for a catalogue. Reads all JSON objects, since one may leave out fields."""
    return _detect(path, options, guess_items, None, None)


def _detect(
    path: Path,
    options: ImportOptions,
    guess_columns: Callable[[Sequence[str], ImportOptions], C],
    looked_at: int | None,
    nested: str | None,
) -> FileLayout[C]:
    encoding = options.encoding
    with open_bytes(path) as stream:
        table = kind_of(stream.read(8))
    if table is not None:
        header = column_names(path, table, options.header)
        _refuse_twice(path, header)
        # A workbook's header row is skipped by the table itself.
        return FileLayout(
            columns=guess_columns(header, options), header=header, header_line=not options.header, table=table
        )
    first = next((line for line in read_lines(path, encoding) if line.raw.strip()), None)
    if first is None:
        raise UserError(f"{path} is empty")
    if first.raw.lstrip()[:1] in (b"[", b"{"):
        by_line = not first.raw.lstrip().startswith(b"[") and one_object_a_line(path, encoding)
        objects = islice(read_objects(path, encoding, by_line=by_line), looked_at)
        return FileLayout(
            columns=guess_columns(_json_keys(objects, nested), options), encoding=encoding, by_line=by_line
        )
    if b"\0" in first.raw:
        raise UserError(f"{path} is neither text nor of a known format: {_FORMATS}")
    try:
        text = first.raw.decode().removesuffix("\r")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: the first line is not {encoding}; {SAY_ENCODING}") from error
    delimiter = options.delimiter or max(_DELIMITERS, key=lambda known: text.count(known) * len(known))
    names = Splitter(delimiter, options.quote).split(text, 0) or text.split(delimiter)
    header = options.header or tuple(name.strip() for name in names)
    if not options.header:
        _refuse_data_as_header(path, header)
    _refuse_twice(path, header)
    return FileLayout(
        columns=guess_columns(header, options),
        header=header,
        header_line=not options.header,
        delimiter=delimiter,
        quote=options.quote,
        encoding=encoding,
    )


_FORMATS: Final = (
    "CSV and other delimited text, JSON lines and arrays, Parquet, Arrow, Excel; plain, gz, zst, bz2, xz, zip"
)


def _refuse_twice(path: Path, header: Sequence[str]) -> None:
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise UserError(f"{path}: two columns have the name {', '.join(twice)}")


def _refuse_data_as_header(path: Path, header: Sequence[str]) -> None:
    numbers = [name for name in header if name.replace(".", "", 1).removeprefix("-").isdecimal()]
    if numbers and 2 * len(numbers) >= len(header):
        raise UserError(
            f"{path}: the first line holds data and no column names: {', '.join(header)[:200]}. "
            "Name the columns: --header user_id,item_id,rating,time for example"
        )


def read_rows(path: Path, source: FileLayout[Columns], *, latest_ms: int) -> Iterator[Row | BadRow]:
    """The file's rows in order. Rows later than `latest_ms` and rows that are not valid events are `BadRow`.

    Raises `UserError` when reading fails: the file is gone, or its compressed data is damaged.
    """
    make = row_maker(source.columns, latest_ms=latest_ms)
    return _rows(path, source, make, source.columns.fields.get("events"))


def read_items(path: Path, source: FileLayout[ItemColumns]) -> Iterator[ItemRow | BadRow]:
    """The file's items in order; invalid ones are `BadRow`. Raises `UserError` as `read_rows` does."""
    return _rows(path, source, item_maker(source.columns), None)


def _rows(path: Path, source: FileLayout[C], make: Make[R], nested: str | None) -> Iterator[R | BadRow]:
    if source.table is not None:
        return _table_rows(path, source, source.table, make, nested)
    if source.header:
        return _text_rows(path, source, make)
    return _json_rows(read_objects(path, source.encoding, by_line=source.by_line), nested, make)


def _text_rows(path: Path, source: FileLayout[C], make: Make[R]) -> Iterator[R | BadRow]:
    header = source.header

    def is_row(values: Sequence[str]) -> bool:
        try:
            return make(dict(zip(header, values, strict=True)), 0, 0) is not None
        except Refused:
            return False

    splitter = Splitter(source.delimiter, source.quote)
    records = split_lines(read_lines(path, source.encoding), splitter, len(header), source.encoding, is_row)
    if source.header_line:
        next(records, None)
    for record in records:
        line = record.line
        if record.reason:
            yield _bad(line, record.reason)
            continue
        try:
            row = make(dict(zip(header, record.values, strict=True)), line.number, line.pos)
        except Refused as error:
            yield _bad(line, str(error))
        else:
            if row is not None:
                yield row


def _table_rows(
    path: Path, source: FileLayout[C], kind: TableKind, make: Make[R], nested: str | None
) -> Iterator[R | BadRow]:
    size = packed_size(path)
    for batch in read_table(path, kind, () if source.header_line else source.header):
        pos = round(size * batch.part)
        for number, values in enumerate(batch.rows, batch.first):
            found = dict(zip(source.header, values, strict=True))
            yield from _made(found, nested, make, FileLine(number, pos, b""))


def _json_rows(lines: Iterator[FileLine], nested: str | None, make: Make[R]) -> Iterator[R | BadRow]:
    for line in lines:
        if not line.whole:
            yield _bad(line, TOO_LONG)
            continue
        try:
            values = decode_object(line.raw)
        except Refused as error:
            yield _bad(line, str(error))
        else:
            yield from _made(values, nested, make, line)


def _made(values: dict[str, Any], nested: str | None, make: Make[R], line: FileLine) -> Iterator[R | BadRow]:
    """The row of an object, or the rows of the list `nested` in it."""
    inner = values.pop(nested, None) if nested else None
    if inner is not None and not isinstance(inner, list):
        yield _bad(line, f"{nested}: a list of objects is expected", values)
        return
    for event in [{}] if inner is None else inner:
        try:
            if not isinstance(event, dict):
                raise Refused(f"{nested}: a list of objects is expected")
            row = make(values | event, line.number, line.pos)
        except Refused as error:
            yield _bad(line, str(error), event or values)
        except RecursionError:
            yield _bad(line, "nested too deeply")
        else:
            if row is not None:
                yield row


def _json_keys(objects: Iterator[FileLine], nested: str | None) -> list[str]:
    """The keys of the objects and of those in their `nested` lists; `nested` itself only where it is a list."""
    keys: dict[str, None] = {}
    for line in objects:
        try:
            values = decode_object(line.raw)
        except Refused:
            continue
        inner = values.pop(nested, None) if nested else None
        keys |= dict.fromkeys(values)
        if nested and isinstance(inner, list):
            keys[nested] = None
            for event in inner:
                keys |= dict.fromkeys(event) if isinstance(event, dict) else {}
    return list(keys)


def _bad(line: FileLine, reason: str, event: Any = None) -> BadRow:
    raw = line.raw if event is None else msgspec.json.encode(event, enc_hook=str)
    text = raw[: 4 * _SHOWN_CHARACTERS].decode(errors="replace").rstrip("\r\n")
    return BadRow(line=line.number, pos=line.pos, reason=reason, text=text[:_SHOWN_CHARACTERS])
