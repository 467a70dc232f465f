"""Finds out how a text file's lines are split into values, and how its columns are called."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from msgspec import structs

from app.errors import UserError
from app.importing.aligned_tables import Aligned, aligned_of
from app.importing.boxed_tables import CELL_END, Box, box_of
from app.importing.contents import FileFormat, undrawn
from app.importing.delimited import SAY_ENCODING, Splitter
from app.importing.json_lists import are_lists, names_in
from app.importing.json_text import JSON_IN_TEXT, RECORD_SEPARATOR, one_object_a_line
from app.importing.lines import FileLine, read_lines
from app.importing.mapping import ImportOptions
from app.importing.preamble import beginning_of
from app.importing.presets import Preset, by_first_line, with_preset
from app.importing.unreadable import SQL_DUMP, VERTICAL, is_sql_dump, is_vertical

_DELIMITERS: Final = (",", ";", "\t", "|", "::", "\x01", "\x1f", "^", "~")
_LOOKED_AT_LINES: Final = 20
_FORMATS: Final = (
    "CSV and other delimited text, JSON lines and arrays, Parquet, Arrow, Excel; plain, gz, zst, bz2, xz, zip, tar"
)


def text_format(path: Path, options: ImportOptions, *, items: bool) -> tuple[FileFormat, Preset | None]:
    """The format by the first line, and the known layout that has lines of this shape. Raises `UserError`."""
    if is_sql_dump(line.raw for line in read_lines(path, options.encoding)):
        raise UserError(f"{path} is {SQL_DUMP}")
    if is_vertical(line.raw for line in read_lines(path, options.encoding)):
        raise UserError(f"{path} is {VERTICAL}")
    drawn = _drawn(path, options)
    if drawn is not None:
        delimiter = drawn.delimiter if isinstance(drawn, Aligned) else None
        options = structs.replace(options, delimiter=delimiter or CELL_END, quote="")

    def lines_of() -> Iterator[FileLine]:
        return undrawn(read_lines(path, options.encoding), drawn)

    lines = lines_of()
    beginning = beginning_of(lines, lambda text: len(text.split(_delimiter(text, options))))
    first = beginning.first
    if first is None:
        raise UserError(f"{path} is empty")
    raw = first.raw.removeprefix(RECORD_SEPARATOR).lstrip()
    if raw.startswith(b"[") and are_lists(path, options.encoding):
        header = options.header or names_in(path, options.encoding)
        return FileFormat(header=header, header_line=not options.header, encoding=options.encoding, lists=True), None
    if raw[:1] in (b"[", b"{") or raw.startswith(JSON_IN_TEXT):
        by_line = not raw.startswith(b"[") and one_object_a_line(path, options.encoding)
        return FileFormat(encoding=options.encoding, by_line=by_line), None
    if b"\0" in first.raw:
        raise UserError(f"{path} is neither text nor of a known format: {_FORMATS}")
    preset = by_first_line(first.raw.decode(errors="replace").removesuffix("\r"), options, items=items)
    if preset is not None:
        options = with_preset(options, preset)
    else:
        try:
            first.raw.decode()
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: the first line is not {options.encoding}; {SAY_ENCODING}") from error
    text = first.raw.decode(errors="replace").removesuffix("\r")
    delimiter = options.delimiter or beginning.delimiter or _delimiter(text, options)
    names = Splitter(delimiter, options.quote).split(text.lstrip("# "), 0) or text.split(delimiter)
    header = options.header or tuple(name.strip() for name in names)
    if not options.header:
        _refuse_data_as_header(path, header)
    if not options.header:
        behind = islice(lines_of(), 1 if drawn else beginning.skip + 1, None)
        header = _with_unnamed(header, _looked_at(behind, Splitter(delimiter, options.quote), len(header)))
    return FileFormat(
        header=header,
        header_line=not options.header,
        skip=0 if drawn else beginning.skip,
        drawn=drawn,
        delimiter=delimiter,
        quote=options.quote,
        encoding=options.encoding,
    ), preset


def _drawn(path: Path, options: ImportOptions) -> Box | Aligned | None:
    if not options.delimiter and (box := box_of(read_lines(path, options.encoding))):
        return box
    aligned = aligned_of(read_lines(path, options.encoding))
    return aligned if aligned and options.delimiter in (None, aligned.delimiter) else None


def _looked_at(lines: Iterator[FileLine], splitter: Splitter, columns: int) -> list[list[str]]:
    """The values of the first lines, those aside on which a quoted value is open."""
    found = []
    for line in islice(lines, _LOOKED_AT_LINES):
        text = line.raw.decode(errors="replace").removesuffix("\r")
        values = splitter.split(text, columns) if text.strip() else None
        if values is not None:
            found.append(values)
    return found


def _with_unnamed(header: tuple[str, ...], rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The header, with a column that it does not name, where all rows have one more value.

    Behind the others, if it is always empty, as when each line ends with a delimiter. In front, if it counts the rows.
    """
    if not rows or any(len(row) != len(header) + 1 for row in rows):
        return header
    if not any(row[-1].strip() for row in rows):
        return (*header, "")
    if all(row[0] == str(number) for number, row in enumerate(rows, int(rows[0][0] == "1"))):
        return ("", *header)
    return header


def _delimiter(text: str, options: ImportOptions) -> str:
    """The one that the line has most of; a space where it has no other."""
    if options.delimiter:
        return options.delimiter
    found = max(_DELIMITERS, key=lambda known: text.count(known) * len(known))
    return found if found in text or " " not in text.strip() else " "


def _refuse_data_as_header(path: Path, header: Sequence[str]) -> None:
    numbers = [name for name in header if name.replace(".", "", 1).removeprefix("-").isdecimal()]
    if numbers and 2 * len(numbers) >= len(header):
        raise UserError(
            f"{path}: the first line holds data and no column names: {', '.join(header)[:200]}. "
            "Name the columns: --header user_id,item_id,rating,time for example"
        )


def with_distinct_names(file: FileFormat) -> tuple[FileFormat, set[str]]:
    """The second column of a name is called `name (2)`. Also the names that several columns have."""
    seen: Counter[str] = Counter()
    names = []
    for name in file.header:
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    twice = {name for name, times in seen.items() if times > 1}
    return (structs.replace(file, header=tuple(names)) if twice else file), twice


def refuse_unclear_names(
    path: Path, fields: Mapping[str, str], mapped: Mapping[str, str], twice: Collection[str]
) -> None:
    """Raises `UserError` where a guessed column has the name of another one."""
    unclear = [(field, name) for field, name in fields.items() if name in twice and field not in mapped]
    if unclear:
        field, name = unclear[0]
        raise UserError(
            f"{path}: two columns have the name {name}: say --map '{field}={name}' for the first, "
            f"--map '{field}={name} (2)' for the second"
        )
