"""Reads Parquet, Arrow (files, streams and Feather) and workbooks (xlsx, xls, xlsb, ods), row by row."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Literal, Protocol

from msgspec import Struct

from app.errors import UserError
from app.importing.archives import ZIP_MAGIC
from app.importing.streams import open_bytes

TableKind = Literal["parquet", "arrow", "workbook"]
_BATCH_ROWS: Final = 10_000
_ARROW_FILE: Final = b"ARROW1"
_ARROW_STREAM: Final = b"\xff\xff\xff\xff"
_OLD_WORKBOOK: Final = b"\xd0\xcf\x11\xe0"
_COPY_BYTES: Final = 1 << 20


class TableRows(Struct, frozen=True):
    """Some rows: the number of the first (as a workbook shows it; from 1 elsewhere), and each row's values.

    `part` is the share of the file that is read with them.
    """

    first: int
    rows: list[tuple[Any, ...]]
    part: float


def kind_of(beginning: bytes) -> TableKind | None:
    """The kind of a file by its first bytes (unpacked); None for text."""
    if beginning.startswith(b"PAR1"):
        return "parquet"
    if beginning.startswith((_ARROW_FILE, _ARROW_STREAM)):
        return "arrow"
    return "workbook" if beginning.startswith((ZIP_MAGIC, _OLD_WORKBOOK)) else None


def column_names(path: Path, kind: TableKind, header: Sequence[str]) -> tuple[str, ...]:
    """The table's columns; `header` names those of a workbook that has no header row. Raises `UserError`."""
    with _opened(path, kind) as table:
        return table.columns(header)


def read_table(path: Path, kind: TableKind, header: Sequence[str]) -> Iterator[TableRows]:
    """The table's rows in order; of a workbook all sheets that have its columns. Raises `UserError`."""
    with _opened(path, kind) as table:
        yield from table.rows(header)


class _Table(Protocol):
    def columns(self, header: Sequence[str]) -> tuple[str, ...]:
        """The names of the columns; `header`, where the file has none."""
        ...

    def rows(self, header: Sequence[str]) -> Iterator[TableRows]:
        """All rows in order."""
        ...


class _ParquetTable:
    def __init__(self, file: IO[bytes]) -> None:
        from pyarrow import parquet

        self._file = parquet.ParquetFile(file)

    def columns(self, header: Sequence[str]) -> tuple[str, ...]:
        return tuple(map(str, self._file.schema_arrow.names))

    def rows(self, header: Sequence[str]) -> Iterator[TableRows]:
        return _arrow_rows(self._file.iter_batches(_BATCH_ROWS), self._file.metadata.num_rows)


class _ArrowTable:
    def __init__(self, file: IO[bytes]) -> None:
        from pyarrow import ipc

        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        file.seek(0)
        beginning = file.read(len(_ARROW_FILE))
        file.seek(0)
        if beginning == _ARROW_FILE:
            opened = ipc.open_file(file)
            self._names = opened.schema.names
            self._batches = (opened.get_batch(number) for number in range(opened.num_record_batches))
        else:
            stream = ipc.open_stream(file)
            self._names = stream.schema.names
            self._batches = iter(stream)

    def columns(self, header: Sequence[str]) -> tuple[str, ...]:
        return tuple(self._names)

    def rows(self, header: Sequence[str]) -> Iterator[TableRows]:
        first = 1
        for batch in self._batches:
            part = min(1.0, self._file.tell() / max(self._size, 1))
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                rows = tuples_of(batch.slice(start, _BATCH_ROWS))
                yield TableRows(first, rows, part)
                first += len(rows)


class _Workbook:
    def __init__(self, file: IO[bytes]) -> None:
        from python_calamine import CalamineWorkbook

        self._book = CalamineWorkbook.from_filelike(file)

    def columns(self, header: Sequence[str]) -> tuple[str, ...]:
        if header:
            return tuple(header)
        for name in self._book.sheet_names:
            for row in self._book.get_sheet_by_name(name).iter_rows():
                if _names_columns(row):
                    return _names(row)
        raise UserError("no sheet of the workbook has a row with the names of columns")

    def rows(self, header: Sequence[str]) -> Iterator[TableRows]:
        names = self.columns(header)
        sheets = self._book.sheet_names
        for number, name in enumerate(sheets):
            sheet = self._book.get_sheet_by_name(name)
            line = sheet.start[0] if sheet.start else 0
            order: list[int] | None = list(range(len(names))) if header else None
            for row in sheet.iter_rows():
                line += 1
                if all(value == "" for value in row):
                    continue
                if order is None:
                    if _names_columns(row):
                        order = _order(names, _names(row), name)
                        if not order:
                            break  # notes, say
                    continue
                values = tuple(row[place] if place < len(row) else "" for place in order)
                part = (number + min(1.0, line / max(sheet.total_height, 1))) / len(sheets)
                yield TableRows(line, [values], part)


def _names_columns(row: Sequence[Any]) -> bool:
    """A title above the table is alone in its row."""
    return len([value for value in row if value != ""]) > 1


def _names(row: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(value).strip() for value in row)


def _order(names: Sequence[str], found: Sequence[str], sheet: str) -> list[int]:
    """Where the columns of the first sheet are in this one; empty where it has none of them. Raises `UserError`."""
    if found == names:
        return list(range(len(names)))
    missing = [name for name in names if name and name not in found]
    if len(missing) == sum(map(bool, names)):
        return []
    if missing:
        raise UserError(f"sheet {sheet} lacks the column {', '.join(missing)}; save it as a file of its own")
    return [found.index(name) for name in names]


def _arrow_rows(batches: Iterator[Any], total: int) -> Iterator[TableRows]:
    first = 1
    for batch in batches:
        done = first - 1 + batch.num_rows
        yield TableRows(first, tuples_of(batch), done / max(total, 1))
        first += batch.num_rows


def tuples_of(batch: Any) -> list[tuple[Any, ...]]:
    """The rows of a `pyarrow.RecordBatch`."""
    import pyarrow as pa

    def values(column: Any) -> list[Any]:
        # A datetime has no nanoseconds.
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
        found: list[Any] = column.to_pylist()
        # Spark and Impala may write text as bytes.
        return [_text(value) for value in found] if pa.types.is_binary(column.type) else found

    return list(zip(*map(values, batch.columns), strict=True))


def _text(value: bytes | None) -> str | bytes | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value


_KINDS: Final[dict[TableKind, Callable[[IO[bytes]], _Table]]] = {
    "parquet": _ParquetTable,
    "arrow": _ArrowTable,
    "workbook": _Workbook,
}


@contextmanager
def _opened(path: Path, kind: TableKind) -> Iterator[_Table]:
    import pyarrow
    from python_calamine import CalamineError

    try:
        with _seekable(path) as file:
            yield _KINDS[kind](file)
    except (pyarrow.ArrowException, CalamineError, OSError) as error:
        hint = "; if it holds another archive, unpack that first" if isinstance(error, CalamineError) else ""
        raise UserError(f"{path} cannot be read as {kind}: {error}{hint}") from error


@contextmanager
def _seekable(path: Path) -> Iterator[IO[bytes]]:
    """The file itself, or a temporary copy of what is packed in it."""
    with open_bytes(path) as stream, tempfile.TemporaryFile() as copy:
        if not stream.packed:
            with path.open("rb") as file:
                yield file
            return
        while block := stream.read(_COPY_BYTES):
            copy.write(block)
        copy.seek(0)
        yield copy
