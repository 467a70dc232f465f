"""Log files and catalogues, row by row: CSV or JSON lines, gzipped or not. A bad line does not affect the others.

source = detect(path, ImportOptions())
for row in read_rows(path, source, latest_ms=now_ms):
    ...  # a Row or a BadRow

`detect_items` and `read_items` do the same for a catalogue.
"""

import csv
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from app.core.decoding import why_not_json
from app.errors import UserError
from app.importing.items import ItemColumns, ItemRow, guess_items, item_maker
from app.importing.lines import MAX_LINE_BYTES, FileLine, read_lines
from app.importing.mapping import Columns, ImportOptions, guess
from app.importing.rows import BadRow, Refused, Row, row_maker

__all__ = ["BadRow", "FileLayout", "ItemRow", "Row", "detect", "detect_items", "read_items", "read_rows"]

_SHOWN_CHARACTERS: Final = 2_000
_DELIMITERS: Final = ",;\t|"
_LOOKED_AT_LINES: Final = 100
_SAY_ENCODING: Final = "say --encoding, for example latin-1"
_TOO_LONG: Final = f"longer than {MAX_LINE_BYTES >> 20} MiB"

C = TypeVar("C", Columns, ItemColumns)
R = TypeVar("R")
Make = Callable[[Mapping[str, Any], int, int], R | None]


class FileLayout(Struct, Generic[C], frozen=True, kw_only=True):
    """A file's format and column layout. `header` is empty for JSON lines."""

    columns: C
    header: tuple[str, ...] = ()
    header_line: bool = True
    delimiter: str = ","
    encoding: str = "utf-8"


def detect(path: Path, options: ImportOptions) -> FileLayout[Columns]:
    """Detects the format from the file's beginning. Raises `UserError` for an unreadable file or unclear columns."""
    nested = options.columns.get("events", "events")
    return _detect(path, options, guess, lambda: _json_keys(path, nested))


def detect_items(path: Path, options: ImportOptions) -> FileLayout[ItemColumns]:
    """The same for a catalogue. Reads all JSON lines, since an object may leave out fields."""
    return _detect(path, options, guess_items, lambda: _all_json_keys(path))


def _detect(
    path: Path,
    options: ImportOptions,
    guess_columns: Callable[[Sequence[str], ImportOptions], C],
    json_keys: Callable[[], list[str]],
) -> FileLayout[C]:
    first = next((line for line in read_lines(path) if line.raw.strip()), None)
    if first is None:
        raise UserError(f"{path} is empty")
    start = first.raw.lstrip()[:1]
    if start == b"[":
        raise UserError(f"{path} is one JSON array; put one object on each line: jq -c '.[]' {path}")
    if start == b"{":
        return FileLayout(columns=guess_columns(json_keys(), options))
    _check_encoding(options.encoding)
    try:
        text = first.raw.decode(options.encoding)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: the first line is not {options.encoding}; {_SAY_ENCODING}") from error
    delimiter = options.delimiter or max(_DELIMITERS, key=text.count)
    header = options.header or tuple(name.strip() for name in next(csv.reader([text], delimiter=delimiter)))
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise UserError(f"{path}: two columns have the name {', '.join(twice)}")
    return FileLayout(
        columns=guess_columns(header, options),
        header=header,
        header_line=not options.header,
        delimiter=delimiter,
        encoding=options.encoding,
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
    lines = read_lines(path)
    return _csv_rows(lines, source, make) if source.header else _json_rows(lines, nested, make)


def _csv_rows(lines: Iterator[FileLine], source: FileLayout[C], make: Make[R]) -> Iterator[R | BadRow]:
    feed = _Feed(lines, source.encoding)
    cells_of = csv.reader(feed, delimiter=source.delimiter)
    header = source.header
    if source.header_line:
        next(cells for cells in cells_of if cells)
    while True:
        feed.begin()
        reason = ""
        try:
            cells = next(cells_of)
        except StopIteration:
            return
        except csv.Error as error:
            cells, reason = [], str(error)
        if not cells and not reason:
            continue  # a blank line
        line = feed.taken[0]
        if feed.undecodable:
            reason = f"not {source.encoding}; {_SAY_ENCODING}"
        elif not reason and len(cells) != len(header):
            reason = f"{len(cells)} values, but there are {len(header)} columns"
        if reason and len(feed.taken) > 1:
            # An unclosed quote swallows the following lines: those are read again.
            reason = f"a quote on this line is never closed ({reason})"
            feed.give_back()
        if not line.whole:
            reason = _TOO_LONG
        if reason:
            yield _bad(line, reason)
            continue
        try:
            row = make(dict(zip(header, cells, strict=True)), line.number, feed.taken[-1].pos)
        except Refused as error:
            yield _bad(line, str(error))
        else:
            if row is not None:
                yield row


class _Feed:
    """Feeds lines to `csv.reader` and keeps those of the current row, so that they can be read again."""

    def __init__(self, lines: Iterator[FileLine], encoding: str) -> None:
        self._lines = lines
        self._encoding = encoding
        self._waiting: deque[FileLine] = deque()
        self.begin()

    def begin(self) -> None:
        self.taken: list[FileLine] = []
        self.undecodable = False

    def give_back(self) -> None:
        self._waiting.extendleft(reversed(self.taken[1:]))

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._waiting.popleft() if self._waiting else next(self._lines)
        self.taken.append(line)
        try:
            return line.raw.decode(self._encoding)
        except UnicodeDecodeError:
            self.undecodable = True
            return line.raw.decode(self._encoding, errors="replace")


def _json_rows(lines: Iterator[FileLine], nested: str | None, make: Make[R]) -> Iterator[R | BadRow]:
    for line in lines:
        if not line.raw.strip():
            continue
        if not line.whole:
            yield _bad(line, _TOO_LONG)
            continue
        try:
            values = _json_object(line.raw)
            inner = values.pop(nested, None) if nested else None
            if inner is None:
                events = [values]
            elif isinstance(inner, list):
                events = inner
            else:
                raise Refused(f"{nested}: a list of objects is expected")
        except Refused as error:
            yield _bad(line, str(error))
            continue
        for event in events:
            try:
                if not isinstance(event, dict):
                    raise Refused(f"{nested}: a list of objects is expected")
                row = make(values | event, line.number, line.pos)
            except Refused as error:
                yield _bad(line, str(error), event)
            except RecursionError:
                yield _bad(line, "nested too deeply")
            else:
                if row is not None:
                    yield row


def _json_object(raw: bytes) -> dict[str, Any]:
    try:
        values = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(why_not_json(error, raw)) from None
    except RecursionError:
        raise Refused("not JSON: nested too deeply") from None
    if not isinstance(values, dict):
        raise Refused("a JSON object is expected on each line")
    return values


def _json_keys(path: Path, nested: str) -> list[str]:
    """The keys of the first objects and of those in their `nested` lists; `nested` itself only where it is a list."""
    keys: dict[str, None] = {}
    for line in read_lines(path):
        try:
            values = _json_object(line.raw)
        except Refused:
            values = {}
        inner = values.pop(nested, None)
        keys |= dict.fromkeys(values)
        if isinstance(inner, list):
            keys[nested] = None
            for event in inner:
                keys |= dict.fromkeys(event) if isinstance(event, dict) else {}
        if line.number >= _LOOKED_AT_LINES:
            break
    return list(keys)


def _all_json_keys(path: Path) -> list[str]:
    keys: dict[str, None] = {}
    for line in read_lines(path):
        try:
            keys |= dict.fromkeys(_json_object(line.raw))
        except Refused:
            continue
    return list(keys)


def _check_encoding(encoding: str) -> None:
    try:
        if "\n,".encode(encoding) == b"\n,":
            return
    except LookupError:
        raise UserError(f"--encoding {encoding}: no such encoding; for example utf-8 or latin-1") from None
    raise UserError(f"--encoding {encoding}: line ends cannot be found; convert the file to UTF-8 with iconv")


def _bad(line: FileLine, reason: str, event: Any = None) -> BadRow:
    raw = line.raw if event is None else msgspec.json.encode(event)
    text = raw[: 4 * _SHOWN_CHARACTERS].decode(errors="replace").rstrip("\r\n")
    return BadRow(line=line.number, pos=line.pos, reason=reason, text=text[:_SHOWN_CHARACTERS])
