"""Log files and catalogues, row by row, whatever the format. A bad line does not affect the others.

source = detect(path, ImportOptions())
for row in read_rows(path, source, latest_ms=now_ms):
    ...  # a Row or a BadRow

`detect_items` and `read_items` do the same for a catalogue.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from msgspec import structs

from app.errors import UserError
from app.importing.contents import FileFormat, FoundValues, Values, bad_row, read_values
from app.importing.exploded import exploded, lists_of
from app.importing.filters import Condition, checker
from app.importing.instacart import OrderTimes
from app.importing.items import ItemColumns, ItemRow, guess_items, item_maker, with_attribute_types
from app.importing.lines import FileLine
from app.importing.mapping import Columns, ImportOptions, guess, has_column
from app.importing.presets import Preset, by_columns, with_preset
from app.importing.rows import BadRow, Row, row_maker
from app.importing.seen_names import holds_lists, list_of_events, names_of, refuse_other_shapes, with_nested
from app.importing.streams import open_bytes
from app.importing.tables import column_names, kind_of
from app.importing.text_format import refuse_unclear_names, text_format, with_distinct_names
from app.importing.time_patterns import pattern_of
from app.importing.times import time_parser
from app.importing.values import JOINED, Refused, absent, finder, is_simple

__all__ = ["BadRow", "FileLayout", "ItemRow", "Row", "detect", "detect_items", "read_items", "read_rows", "rows_of"]

_EVENTS: Final = "events"
_LOOKED_AT_FIRST: Final = 100
_LOOKED_AT_MORE: Final = 100_000
_LOOKED_AT_ITEMS: Final = 1_000
_CLOCK: Final = re.compile(r"\d\d?:\d\d(:\d\d(\.\d+)?)?( ?[AaPp]\.?[Mm]\.?)?")
_LATEST_MS: Final = 7_258_118_400_000  # the year 2200: a later number is a date such as 20140514044115

C = TypeVar("C", Columns, ItemColumns)
R = TypeVar("R")
Make = Callable[[Mapping[str, Any], int, int], R | None]
Prepare = Callable[[Values], bool]


class FileLayout(FileFormat, Generic[C], frozen=True, kw_only=True):
    """A file's format and column layout. `preset` is the known layout that it was recognised as.

    `where`: the conditions of the rows that are taken. `orders`: the file that Instacart's rows are joined with.
    """

    columns: C
    preset: Preset | None = None
    where: tuple[Condition, ...] = ()
    orders: Path | None = None


def detect(path: Path, options: ImportOptions) -> FileLayout[Columns]:
    """Detects the format from the file's beginning. Raises `UserError` for an unreadable file or unclear columns."""
    found = _detect(path, options, guess, items=False)
    if "time" not in options.columns and found.preset is None:
        found = _with_date(path, found)
    return _with_time_format(path, found, found.columns.fields["time"])


def detect_items(path: Path, options: ImportOptions) -> FileLayout[ItemColumns]:
    """The same for a catalogue. Reads all JSON objects, since one may leave out fields."""
    found = _detect(path, options, guess_items, items=True)
    column = found.columns.fields.get("published_at") or found.columns.fields.get("expires_at")
    if column:
        found = _with_time_format(path, found, column)
    if not found.columns.attributes:
        return found
    first = islice(_taken(path, found), _LOOKED_AT_ITEMS)
    return structs.replace(found, columns=with_attribute_types(found.columns, first))


def _taken(path: Path, source: FileLayout[C]) -> Iterator[Values]:
    prepare = _preparer(source)
    for found in read_values(path, source, lambda values: False):
        if not isinstance(found, BadRow) and prepare(found[0]):
            yield found[0]


def _detect(
    path: Path, options: ImportOptions, guess_columns: Callable[[Sequence[str], ImportOptions], C], *, items: bool
) -> FileLayout[C]:
    with open_bytes(path) as stream:
        table = kind_of(stream.read(8))
    file, preset = (FileFormat(), None) if table else text_format(path, options, items=items)
    if table is not None:
        header = column_names(path, table, options.header)
        file = FileFormat(header=header, header_line=not options.header, table=table)
    file, twice = with_distinct_names(file)
    if not file.header:
        refuse_other_shapes(path, file)
    layout = partial(_layout, path, options, file, preset, twice, guess_columns, items=items)
    if items:
        return layout(looked_at=None if not file.header else _LOOKED_AT_FIRST)
    try:
        return layout(looked_at=_LOOKED_AT_FIRST)
    except UserError:
        # Collectors write events of several kinds, of which the first with an item may be far behind, and JSON as text.
        return layout(looked_at=_LOOKED_AT_MORE)


def _layout(
    path: Path,
    options: ImportOptions,
    file: FileFormat,
    preset: Preset | None,
    twice: Collection[str],
    guess_columns: Callable[[Sequence[str], ImportOptions], C],
    *,
    items: bool,
    looked_at: int | None,
) -> FileLayout[C]:
    given = options.columns
    present: Sequence[str] = file.header
    if file.table is not None or not file.header or looked_at == _LOOKED_AT_MORE:
        present = names_of(path, file, looked_at)
    seen = present
    found_events = None if items else list_of_events(path, file, present)
    if not file.header and not items:
        seen = with_nested(path, file, present, options.columns.get("events", found_events or _EVENTS), looked_at)
    for wanted in options.where:
        if not has_column(wanted.column, seen):
            raise UserError(f"--where {wanted}: the file has no column {wanted.column}; it has {', '.join(seen)}")
    preset = preset or by_columns(seen, options, items=items)
    if preset is not None:
        options = with_preset(options, preset)
        file = structs.replace(file, encoding=options.encoding)
    if not items and "events" not in options.columns:
        # A column of such a name that holds no lists is one of others that nobody needs.
        options = structs.replace(options, columns={**options.columns, "events": found_events or ""})
    around = present
    # Also of a file with columns, where one that holds JSON has been named.
    if not items and (not file.header or options.columns.get("events")):
        present = with_nested(path, file, present, options.columns.get("events", _EVENTS), looked_at)
    orders = path.parent / preset.join if preset is not None and preset.join else None
    if orders is not None:
        present = [*present, *OrderTimes.COLUMNS]
    # Not all files of a known layout have all of its columns.
    there = {
        field: name
        for field, name in options.columns.items()
        if field in given or not name or has_column(name, present)
    }
    where = tuple(wanted for wanted in options.where if has_column(wanted.column, present))
    columns = guess_columns(present, structs.replace(options, columns=there))
    if columns.fields.get("event_id") in around and "events" in columns.fields and "event_id" not in given:
        # It is of all the objects in the list together.
        columns = structs.replace(columns, fields={f: name for f, name in columns.fields.items() if f != "event_id"})
    if not items and "events" not in columns.fields and holds_lists(path, file, columns.fields["item_id"]):
        columns = structs.replace(columns, fields={**columns.fields, "events": columns.fields["item_id"]})
    refuse_unclear_names(path, columns.fields, options.columns, twice)
    fill_down = () if preset is None else tuple(name for name in preset.fill_down if name in present)
    return FileLayout(
        **{name: getattr(file, name) for name in FileFormat.__struct_fields__ if name != "fill_down"},
        fill_down=fill_down,
        columns=columns,
        preset=preset,
        where=where,
        orders=orders,
    )


def read_rows(path: Path, source: FileLayout[Columns], *, latest_ms: int) -> Iterator[Row | BadRow]:
    """The file's rows in order. Rows later than `latest_ms` and rows that are not valid events are `BadRow`.

    Raises `UserError` when reading fails: the file is gone, or its compressed data is damaged.
    """
    make = row_maker(source.columns, latest_ms=latest_ms)
    return _rows(path, source, make, lists_of(source.columns.fields))


def read_items(path: Path, source: FileLayout[ItemColumns]) -> Iterator[ItemRow | BadRow]:
    """The file's items in order; invalid ones are `BadRow`. Raises `UserError` as `read_rows` does."""
    return _rows(path, source, item_maker(source.columns), None)


def rows_of(found: Iterable[FoundValues], source: FileLayout[Columns], *, latest_ms: int) -> Iterator[Row | BadRow]:
    """The rows of values that somebody else has read from such files; otherwise as `read_rows`."""
    make = row_maker(source.columns, latest_ms=latest_ms)
    return _made(found, source, _preparer(source), make, lists_of(source.columns.fields))


def _rows(path: Path, source: FileLayout[C], make: Make[R], lists: tuple[str, bool] | None) -> Iterator[R | BadRow]:
    prepare = _preparer(source)

    def is_row(values: Mapping[str, Any]) -> bool:
        try:
            return not prepare(dict(values)) or make(values, 0, 0) is not None
        except Refused:
            return False

    return _made(read_values(path, source, is_row), source, prepare, make, lists)


def _made(
    all_found: Iterable[FoundValues],
    source: FileLayout[C],
    prepare: Prepare,
    make: Make[R],
    lists: tuple[str, bool] | None,
) -> Iterator[R | BadRow]:
    for found in all_found:
        if isinstance(found, BadRow):
            yield found
            continue
        line = found[1]
        for values in exploded(*found, lists) if lists else (found[0],):
            if isinstance(values, BadRow):
                yield values
                continue
            try:
                row = make(values, line.number, line.pos) if prepare(values) else None
            except Refused as error:
                yield bad_row(line if source.header else FileLine(line.number, line.pos, b""), str(error), values)
            except RecursionError:
                yield bad_row(line, "nested too deeply")
            else:
                if row is not None:
                    yield row


def _preparer(source: FileLayout[C]) -> Prepare:
    """A function that adds what paths and choices name to the values, and tells whether the row is taken."""
    found = [(name, finder(name)) for name in source.columns.used if not is_simple(name, source.header)]
    conditions = [checker(wanted) for wanted in source.where]
    orders = OrderTimes(source.orders) if source.orders is not None else None
    if not (found or conditions or orders):
        return lambda values: True

    def prepare(values: Values) -> bool:
        if orders is not None:
            orders.add(values)
        for name, find in found:
            values[name] = find(values)
        return all(condition(values) for condition in conditions)

    return prepare


def _with_date(path: Path, source: FileLayout[Columns]) -> FileLayout[Columns]:
    """The layout whose time has its date from another column, where the first time is a time of day."""
    column = source.columns.fields["time"]
    date_column = next((name for name in source.header if name.lower() == "date"), None)
    rows = read_values(path, source, lambda values: False)
    first = next((found[0] for found in rows if isinstance(found, tuple)), {})
    if date_column is None or not _CLOCK.fullmatch(str(first.get(column)).strip()):
        return source
    fields = {**source.columns.fields, "time": f"{date_column}{JOINED}{column}"}
    return structs.replace(source, columns=structs.replace(source.columns, fields=fields))


def _with_time_format(path: Path, source: FileLayout[C], column: str) -> FileLayout[C]:
    """The layout with the pattern of its times, where they are of another form than `auto` reads."""
    columns = source.columns
    if columns.time_format != "auto":
        return source
    parse = time_parser("auto", columns.timezone, latest_ms=_LATEST_MS, old_dates=True)
    rows = read_values(path, source, lambda values: False)
    prepare = _preparer(source)
    lists = lists_of(columns.fields)
    times = (
        values.get(column)
        for found in rows
        if not isinstance(found, BadRow)
        for values in exploded(*found, lists)
        if not isinstance(values, BadRow) and prepare(values) and not absent(values.get(column))
    )
    pattern = pattern_of(times, parse)
    return structs.replace(source, columns=structs.replace(columns, time_format=pattern))
