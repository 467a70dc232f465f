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
from app.importing.lines import FileLine, before_damage, read_lines
from app.importing.mapping import ImportOptions
from app.importing.preamble import Beginning, beginning_of
from app.importing.presets import Preset, by_first_line, with_preset
from app.importing.unreadable import SQL_DUMP, VERTICAL, is_sql_dump, is_vertical

_DELIMITERS: Final = (",", ";", "\t", "|", "::", "\x01", "\x1f", "^", "~")
_SINGLE: Final = "'"
_LOOKED_AT_LINES: Final = 20
_MOST_LINES_OF_NAMES: Final = 10
NAME_COLUMNS: Final = "Name the columns: --header user_id,item_id,rating,time for example"
_FORMATS: Final = (
    "CSV and other delimited text, JSON lines and arrays, Parquet, Arrow, Excel; plain, gz, zst, bz2, xz, zip, tar"
)


def text_format(path: Path, options: ImportOptions, *, items: bool) -> tuple[FileFormat, Preset | None]:
    """The format by the first line, and the known layout that has lines of this shape. Raises `UserError`."""
    if is_sql_dump(line.raw for line in _first_lines(path, options)):
        raise UserError(f"{path} is {SQL_DUMP}")
    if is_vertical(line.raw for line in _first_lines(path, options)):
        raise UserError(f"{path} is {VERTICAL}")
    drawn = _drawn(path, options)
    if drawn is not None:
        delimiter = drawn.delimiter if isinstance(drawn, Aligned) else None
        options = structs.replace(options, delimiter=delimiter or CELL_END, quote="")

    def lines_of() -> Iterator[FileLine]:
        return undrawn(_first_lines(path, options), drawn)

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
    preset = by_first_line(first.raw.decode(errors="replace"), options, items=items)
    if preset is not None:
        options = with_preset(options, preset)
    else:
        try:
            first.raw.decode()
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: the first line is not {options.encoding}; {SAY_ENCODING}") from error
    if preset is None and drawn is None:
        beginning = _below_titles(lines_of(), beginning, options)
        first = beginning.first or first
    text = first.raw.decode(errors="replace")
    delimiter = options.delimiter or beginning.delimiter or _delimiter(text, options)
    quote = _SINGLE if options.quote == '"' and _in_single_quotes(text.split(delimiter)) else options.quote
    splitter = Splitter(delimiter, quote)
    skip = 0 if drawn else beginning.skip
    header, spanned = options.header, 0
    if not header:
        header, spanned = _names(islice(lines_of(), skip, None), splitter)
        _refuse_data_as_header(path, header)
        behind = islice(lines_of(), skip + max(spanned, 1), None)
        header = _with_unnamed(header, _looked_at(behind, splitter, len(header)))
    return FileFormat(
        header=header,
        header_line=not (options.header or spanned),
        skip=skip + spanned,
        drawn=drawn,
        delimiter=delimiter,
        quote=quote,
        encoding=options.encoding,
    ), preset


def _first_lines(path: Path, options: ImportOptions) -> Iterator[FileLine]:
    return before_damage(read_lines(path, options.encoding))


def _drawn(path: Path, options: ImportOptions) -> Box | Aligned | None:
    if not options.delimiter and (box := box_of(_first_lines(path, options))):
        return box
    aligned = aligned_of(_first_lines(path, options))
    return aligned if aligned and options.delimiter in (None, aligned.delimiter) else None


def _below_titles(lines: Iterator[FileLine], beginning: Beginning, options: ImportOptions) -> Beginning:
    """The beginning without titles: lines of one value above a table of several."""
    first = [line for line in islice(lines, beginning.skip, beginning.skip + _LOOKED_AT_LINES) if line.raw.strip()]
    texts = [line.raw.decode(errors="replace") for line in first]
    common = Counter(_delimiter(text, options) for text in texts).most_common(1)[0][0]
    delimiter = beginning.delimiter or common
    if delimiter == " ":
        return beginning
    splitter = Splitter(delimiter, options.quote)
    found = [splitter.split(text, 0) for text in texts]
    several = [values is None or len([value for value in values if value.strip()]) > 1 for values in found]
    at = several.index(True) if True in several else 0
    below = several[at + 1 :]
    if not at or 2 * sum(below) <= len(below):
        return beginning
    return Beginning(first[at], first[at].number - 1, beginning.delimiter)


def _names(lines: Iterator[FileLine], splitter: Splitter) -> tuple[tuple[str, ...], int]:
    """The names in the first line, and 0; or, where one of them has a line end in it, those in more lines, and how
    many these are.
    """
    text = next(lines).raw.decode(errors="replace").lstrip("# ")
    names = splitter.split(text, 0)
    whole = text
    for spanned, line in enumerate(islice(lines, _MOST_LINES_OF_NAMES) if names is None else (), 2):
        whole += "\n" + line.raw.decode(errors="replace")
        found = splitter.split(whole, 0)
        if found is not None and splitter.quote not in "".join(found):
            return tuple(" ".join(name.split()) for name in found), spanned
    return tuple(name.strip() for name in names or text.split(splitter.delimiter)), 0


def _looked_at(lines: Iterator[FileLine], splitter: Splitter, columns: int) -> list[list[str]]:
    """The values of the first lines, those aside on which a quoted value is open."""
    texts = [line.raw.decode(errors="replace") for line in islice(lines, _LOOKED_AT_LINES)]
    return [values for text in texts if text.strip() and (values := splitter.split(text, columns)) is not None]


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


def _in_single_quotes(names: Sequence[str]) -> bool:
    """Whether a program that quotes with apostrophes wrote the names of the columns."""
    plain = [name.strip() for name in names]
    return all(len(name) > len(_SINGLE * 2) and name[0] == name[-1] == _SINGLE for name in plain)


def _refuse_data_as_header(path: Path, header: Sequence[str]) -> None:
    numbers = [name for name in header if name.replace(".", "", 1).removeprefix("-").isdecimal()]
    if numbers and 2 * len(numbers) >= len(header):
        raise UserError(
            f"{path}: the first line holds data and no column names: {', '.join(header)[:200]}. {NAME_COLUMNS}"
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


def clear_fields(
    path: Path, fields: Mapping[str, str], mapped: Mapping[str, str], twice: Collection[str]
) -> dict[str, str]:
    """The fields, without a rating of which there are two, where rows of other types may not need it.

    Raises `UserError` where another guessed column has the name of another one.
    """
    unclear = {field: name for field, name in fields.items() if name in twice and field not in mapped}
    left_out = {"rating"} & unclear.keys() if "event_type" in fields else set()
    for field, name in unclear.items():
        if field in left_out:
            continue
        raise UserError(
            f"{path}: two columns have the name {name}: say --map '{field}={name}' for the first, "
            f"--map '{field}={name} (2)' for the second"
        )
    return {field: name for field, name in fields.items() if field not in left_out}
