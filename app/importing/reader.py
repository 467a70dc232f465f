"""Log files and catalogues, row by row, whatever the format. A bad line does not affect the others.

source = detect(path, ImportOptions())
for row in read_rows(path, source, latest_ms=now_ms):
    ...  # a Row or a BadRow

`detect_items` and `read_items` do the same for a catalogue.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec import structs

from app.errors import UserError
from app.importing.contents import FileFormat, FoundValues, Values, bad_row, read_values
from app.importing.exploded import Lists, exploded
from app.importing.found_times import with_date, with_time_format
from app.importing.instacart import OrderTimes
from app.importing.items import USUAL_ITEM_COLUMNS, ItemColumns, ItemRow, guess_items, item_maker, with_attribute_types
from app.importing.layouts import C, FileLayout, Prepare, is_taken, preparer
from app.importing.lines import FileLine, before_damage
from app.importing.mapping import USUAL_COLUMNS, Columns, ImportOptions, guess, has_column, match, refuse_unknown_type
from app.importing.partitions import guessed_from, partitions_of
from app.importing.presets import Preset, by_columns, with_preset
from app.importing.rows import BadRow, Row, row_maker
from app.importing.seen_names import (
    holds_lists,
    list_of_events,
    list_of_items,
    names_of,
    refuse_other_shapes,
    with_nested,
)
from app.importing.streams import open_bytes
from app.importing.tables import column_names, kind_of
from app.importing.text_format import NAME_COLUMNS, clear_fields, text_format, with_distinct_names
from app.importing.values import Refused

__all__ = ["BadRow", "FileLayout", "ItemRow", "Row", "detect", "detect_items", "read_items", "read_rows", "rows_of"]

_EVENTS: Final = "events"
_LOOKED_AT_FIRST: Final = 100
_LOOKED_AT_MORE: Final = 100_000
_LOOKED_AT_ITEMS: Final = 1_000

R = TypeVar("R")
Make = Callable[[Mapping[str, Any], int, int], R | None]


def detect(path: Path, options: ImportOptions) -> FileLayout[Columns]:
    """Detects the format from the file's beginning. Raises `UserError` for an unreadable file or unclear columns."""
    refuse_unknown_type(options)
    found = _detect(path, options, guess, items=False)
    if "time" not in options.columns and found.preset is None:
        found = with_date(path, found)
    return with_time_format(path, found, found.columns.fields["time"])


def detect_items(path: Path, options: ImportOptions) -> FileLayout[ItemColumns]:
    """The same for a catalogue. Reads all JSON objects, since one may leave out fields."""
    found = _detect(path, options, guess_items, items=True)
    column = found.columns.fields.get("published_at") or found.columns.fields.get("expires_at")
    if column:
        found = with_time_format(path, found, column)
    if not found.columns.attributes:
        return found
    first = islice(_taken(path, found), _LOOKED_AT_ITEMS)
    return structs.replace(found, columns=with_attribute_types(found.columns, first))


def _taken(path: Path, source: FileLayout[C]) -> Iterator[Values]:
    prepare = preparer(source)
    for found in before_damage(read_values(path, source, lambda values: False)):
        for values in () if isinstance(found, BadRow) else exploded(*found, source.row_lists):
            if not isinstance(values, BadRow) and is_taken(prepare, values):
                yield values


def _detect(
    path: Path, options: ImportOptions, guess_columns: Callable[[Sequence[str], ImportOptions], C], *, items: bool
) -> FileLayout[C]:
    with open_bytes(path) as stream:
        table = kind_of(stream.read(8))
    file, preset = (FileFormat(), None) if table else text_format(path, options, items=items)
    if table is not None:
        usual = USUAL_ITEM_COLUMNS if items else USUAL_COLUMNS
        found = column_names(path, table, options.header, lambda names: len(match(names, options, usual)[0]))
        file = FileFormat(
            header=found.names,
            header_line=not options.header,
            table=table,
            sheet=found.sheet,
            left_out=found.left_out,
        )
    file, twice = with_distinct_names(file)
    file = structs.replace(file, partitions=partitions_of(path))
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
    present: Sequence[str] = list(dict.fromkeys((*file.header, *file.partitions)))
    if file.table is not None or not file.header or looked_at == _LOOKED_AT_MORE:
        present = names_of(path, file, looked_at)
    seen = present
    found_events = None if items else list_of_events(path, file, present, given.get("item_id", ""))
    if not file.header and not items:
        seen = with_nested(path, file, present, options.columns.get("events", found_events or _EVENTS), looked_at)
    preset = preset or by_columns(seen, options, items=items)
    wrapped = list_of_items(path, file, present) if items and preset is None and "item_id" not in given else None
    if wrapped is not None:
        seen = present = with_nested(path, file, present, wrapped, looked_at)
    for wanted in options.where:
        if not has_column(wanted.column, seen):
            raise UserError(f"--where {wanted}: the file has no column {wanted.column}; it has {', '.join(seen)}")
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
    if file.partitions:
        present = guessed_from(present, file.partitions, options, USUAL_ITEM_COLUMNS if items else USUAL_COLUMNS)
    try:
        columns = guess_columns(present, structs.replace(options, columns=there))
    except UserError as error:
        hint = f"\nIf its first line holds data: {NAME_COLUMNS}" if file.names_in_text else ""
        raise UserError(f"{path}: {error}{hint}") from None
    if columns.fields.get("event_id") in around and "events" in columns.fields and "event_id" not in given:
        # It is of all the objects in the list together.
        columns = structs.replace(columns, fields={f: name for f, name in columns.fields.items() if f != "event_id"})
    if not items and "events" not in columns.fields and holds_lists(path, file, columns.fields["item_id"]):
        columns = structs.replace(columns, fields={**columns.fields, "events": columns.fields["item_id"]})
    columns = structs.replace(columns, fields=clear_fields(path, columns.fields, options.columns, twice))
    fill_down = () if preset is None else tuple(name for name in preset.fill_down if name in present)
    return FileLayout(
        **{name: getattr(file, name) for name in FileFormat.__struct_fields__ if name != "fill_down"},
        fill_down=fill_down,
        columns=columns,
        preset=preset,
        where=where,
        orders=orders,
        items=wrapped or "",
    )


def read_rows(path: Path, source: FileLayout[Columns], *, latest_ms: int) -> Iterator[Row | BadRow]:
    """The file's rows in order. Rows later than `latest_ms` and rows that are not valid events are `BadRow`.

    Raises `UserError` when reading fails: the file is gone, or its compressed data is damaged.
    """
    make = row_maker(source.columns, latest_ms=latest_ms)
    return _rows(path, source, make)


def read_items(path: Path, source: FileLayout[ItemColumns]) -> Iterator[ItemRow | BadRow]:
    """The file's items in order; invalid ones are `BadRow`. Raises `UserError` as `read_rows` does."""
    return _rows(path, source, item_maker(source.columns))


def rows_of(found: Iterable[FoundValues], source: FileLayout[Columns], *, latest_ms: int) -> Iterator[Row | BadRow]:
    """The rows of values that somebody else has read from such files; otherwise as `read_rows`."""
    make = row_maker(source.columns, latest_ms=latest_ms)
    return _made(found, source, preparer(source), make)


def _rows(path: Path, source: FileLayout[C], make: Make[R]) -> Iterator[R | BadRow]:
    prepare = preparer(source)

    def is_row(values: Mapping[str, Any]) -> bool:
        try:
            return not prepare(dict(values)) or make(values, 0, 0) is not None
        except Refused:
            return False

    return _made(read_values(path, source, is_row), source, prepare, make)


def _made(
    all_found: Iterable[FoundValues], source: FileLayout[C], prepare: Prepare, make: Make[R]
) -> Iterator[R | BadRow]:
    lists: Lists = source.row_lists
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
