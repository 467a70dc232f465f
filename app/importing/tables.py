"""Reads Parquet, Arrow (files, streams and Feather) and workbooks (xlsx, xls, xlsb, ods), row by row."""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, zip_longest
from pathlib import Path
from typing import IO, Any, Final, Literal, Protocol

from msgspec import Struct

from app.errors import UserError
from app.importing.archives import ZIP_MAGIC
from app.importing.arrow_values import tuples_of
from app.importing.streams import open_bytes

TableKind = Literal["parquet", "arrow", "workbook"]
Known = Callable[[Sequence[str]], int]
"""How many of the names of a table's columns say what they are."""
_LOOKED_AT: Final = 100
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


class TableColumns(Struct, frozen=True):
    """The names of a table's columns. Of a workbook the sheet that has them, and the sheets that are not read, since
    they lack most of them; empty ones are not named.
    """

    names: tuple[str, ...]
    sheet: str = ""
    left_out: tuple[str, ...] = ()


def column_names(path: Path, kind: TableKind, header: Sequence[str], known: Known) -> TableColumns:
    """`header` names the columns of a workbook that has no header row. Raises `UserError`."""
    with _opened(path, kind) as table:
        return table.columns(header, known)


def read_table(path: Path, kind: TableKind, header: Sequence[str], sheet: str) -> Iterator[TableRows]:
    """The table's rows in order; of a workbook those of all sheets that have most columns of `sheet`. Raises
    `UserError`.
    """
    with _opened(path, kind) as table:
        yield from table.rows(header, sheet)


class _Table(Protocol):
    def columns(self, header: Sequence[str], known: Known) -> TableColumns:
        """The names of the columns, `header` where the file has none."""
        ...

    def rows(self, header: Sequence[str], sheet: str) -> Iterator[TableRows]:
        """All rows in order."""
        ...


class _ParquetTable:
    def __init__(self, file: IO[bytes]) -> None:
        from pyarrow import parquet

        self._file = parquet.ParquetFile(file)

    def columns(self, header: Sequence[str], known: Known) -> TableColumns:
        return TableColumns(tuple(map(str, self._file.schema_arrow.names)))

    def rows(self, header: Sequence[str], sheet: str) -> Iterator[TableRows]:
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

    def columns(self, header: Sequence[str], known: Known) -> TableColumns:
        return TableColumns(tuple(self._names))

    def rows(self, header: Sequence[str], sheet: str) -> Iterator[TableRows]:
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

    def columns(self, header: Sequence[str], known: Known) -> TableColumns:
        if header:
            return TableColumns(tuple(header))
        headers = {sheet: self._header(sheet)[1] for sheet in self._book.sheet_names}
        if not any(headers.values()):
            raise UserError("no sheet of the workbook has a row with the names of columns")
        chosen = max((sheet for sheet in headers if headers[sheet]), key=lambda sheet: known(headers[sheet]))
        others = [sheet for sheet in headers if not _any_of(headers[chosen], headers[sheet])]
        left_out = [sheet for sheet in others if self._book.get_sheet_by_name(sheet).height]
        return TableColumns(headers[chosen], chosen, tuple(left_out))

    def rows(self, header: Sequence[str], sheet: str) -> Iterator[TableRows]:
        names = tuple(header) or self._header(sheet)[1]
        sheets = self._book.sheet_names
        for number, name in enumerate(sheets):
            table = self._book.get_sheet_by_name(name)
            skip, own = (0, names) if header else self._header(name)
            if not _any_of(names, own):
                continue  # notes, say
            order = _order(names, own)
            line = skip + (table.start[0] if table.start else 0)
            for row in islice(table.iter_rows(), skip, None):
                line += 1
                values = tuple("" if place is None or place >= len(row) else row[place] for place in order)
                if all(value == "" for value in row):
                    continue
                if not header and str(row[0]).strip() == own[0] and _names(row) == own:
                    continue  # the table was joined from others
                part = (number + min(1.0, line / max(table.total_height, 1))) / len(sheets)
                yield TableRows(line, [values], part)

    def _header(self, sheet: str) -> tuple[int, tuple[str, ...]]:
        """How many rows of the sheet end with the names of its columns, and the names; no names where it has none.

        They are in the first row that is about as wide as the widest: titles above the table are narrower.
        """
        table = self._book.get_sheet_by_name(sheet)
        first = list(islice(table.iter_rows(), _LOOKED_AT))
        widths = [len([value for value in row if value != ""]) for row in first]
        widest = max(widths, default=0)
        at = next((at for at, width in enumerate(widths) if width > 1 and 2 * width > widest), None)
        if at is None:
            return 0, ()
        top = table.start[0] if table.start else 0
        grouped = {begin[0] - top for begin, end in table.merged_cell_ranges or () if end[1] > begin[1]}
        above = at if at in grouped else at - 1
        if above in grouped and above + 1 < len(first):
            return above + 2, _of_two_rows(_names(first[above]), _names(first[above + 1]))
        return at + 1, _names(first[at])


def _names(row: Sequence[Any]) -> tuple[str, ...]:
    return tuple(" ".join(str(value).split()) for value in row)


def _of_two_rows(above: Sequence[str], below: Sequence[str]) -> tuple[str, ...]:
    """The names of columns below cells that were merged; with those before them where they alone are not enough."""
    times = Counter(below)
    group = ""
    found = []
    for upper, lower in zip_longest(above, below, fillvalue=""):
        group = upper or group
        found.append(f"{group} {lower}" if lower and times[lower] > 1 else lower or upper)
    return tuple(found)


def _order(names: Sequence[str], found: Sequence[str]) -> list[int | None]:
    """Where the columns are in a sheet that has these, None for one that it lacks; empty where it lacks most."""
    if found == names:
        return list(range(len(names)))
    places = [found.index(name) if name and name in found else None for name in names]
    there = len(places) - places.count(None)
    return places if 2 * there > sum(map(bool, names)) else []


def _any_of(names: Sequence[str], found: Sequence[str]) -> bool:
    """Whether a sheet with the columns `found` is read, when those of `names` are wanted."""
    return any(place is not None for place in _order(names, found))


def _arrow_rows(batches: Iterator[Any], total: int) -> Iterator[TableRows]:
    first = 1
    for batch in batches:
        done = first - 1 + batch.num_rows
        yield TableRows(first, tuples_of(batch), done / max(total, 1))
        first += batch.num_rows


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
