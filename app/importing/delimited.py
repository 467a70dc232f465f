"""Splits the lines of CSV, TSV and other delimited text into values. A line that misuses quotes costs itself alone.

A value is quoted when it begins with a quote and the next single quote ends it: behind that comes the delimiter or the
end of the line. Any other quote is text. A quoted value may span lines; what speaks against it is that the lines in it
are rows themselves: then the quote was never closed, and its first line alone is bad.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from app.importing.lines import MAX_LINE_BYTES, FileLine

TOO_LONG: Final = f"longer than {MAX_LINE_BYTES >> 20} MiB"
SAY_ENCODING: Final = "say --encoding, for example latin-1"
NEVER_CLOSED: Final = "a quote on this line is never closed; say --quote none where quotes are text"
_MAX_SPANNED_LINES: Final = 1_000

IsRow = Callable[[Sequence[str]], bool]


class Cells(Struct, frozen=True, gc=False):
    """One record's values, or the reason why its line is bad. `line` is its first one."""

    line: FileLine
    values: list[str]
    reason: str = ""


class Splitter:
    """Splits one line, or lines joined by line feeds. `quote` is empty where quotes are text."""

    def __init__(self, delimiter: str, quote: str = '"') -> None:
        self.delimiter = delimiter
        self.quote = quote
        if quote:
            d, q = re.escape(delimiter), re.escape(quote)
            space = "" if delimiter == " " else " *"
            end = rf"(?={d}|\Z)"
            text = rf"(?P<text>.*?){end}"
            self._plain = _pattern(
                rf"{space}{q}(?P<quoted>(?:[^{q}]|{q}{q})*+){q}{space}{end}", rf"{space}{q}(?:[^{q}]|{q}{q})*+\Z", text
            )
            body = rf"(?:[^{q}\\]|\\.|{q}{q})*+"
            self._escaped = _pattern(rf"{space}{q}(?P<quoted>{body}){q}{space}{end}", rf"{space}{q}{body}\Z", text)

    def split(self, text: str, columns: int) -> list[str] | None:
        """The values, or None while a quoted one is open at the end. A backslash before a quote escapes it where only
        that gives the number of columns, or ends a value that a quote begins.
        """
        quote = self.quote
        if not quote or quote not in text:
            # Spaces that align columns are one delimiter.
            parts = text.split(self.delimiter)
            return [part for part in parts if part] if self.delimiter == " " else parts
        values = self._values(self._plain, text)
        if f"\\{quote}" in text and (
            values is None or len(values) != columns or any(value.startswith(quote) for value in values)
        ):
            escaped = self._values(self._escaped, text)
            if escaped is not None and len(escaped) == columns:
                return [value.replace(f"\\{quote}", quote) for value in escaped]
        return values

    def _values(self, pattern: re.Pattern[str], text: str) -> list[str] | None:
        values: list[str] = []
        at = 0
        while found := pattern.match(text, at):
            kind = found.lastgroup
            if kind is None:
                return None
            value = found[kind]
            values.append(value if kind == "text" else value.replace(self.quote * 2, self.quote))
            if found.end() == len(text):
                return values
            at = found.end() + len(self.delimiter)
        raise AssertionError("each place in a text begins a value")


def _pattern(quoted: str, unclosed: str, text: str) -> re.Pattern[str]:
    return re.compile(f"{quoted}|{unclosed}|{text}", re.DOTALL)


def split_lines(
    lines: Iterator[FileLine], splitter: Splitter, columns: int, encoding: str, is_row: IsRow
) -> Iterator[Cells]:
    """The records of `lines`; each has `columns` values, or a reason. Blank lines are left out.

    `is_row` tells whether values would be a row by themselves.
    """
    split, quote = splitter.split, splitter.quote
    waiting: deque[FileLine] = deque()
    while True:
        line = waiting.popleft() if waiting else next(lines, None)
        if line is None:
            return
        try:
            text = _text(line)
        except UnicodeDecodeError:
            yield Cells(line, [], f"not {encoding}; {SAY_ENCODING}" if line.whole else TOO_LONG)
            continue
        if not text or text.isspace():
            continue
        if not line.whole:
            yield Cells(line, [], TOO_LONG)
            continue
        values = split(text, columns)
        if values is None:
            values = _spanning(line, lines, waiting, splitter, columns, is_row)
        if values is None:
            yield Cells(line, [], NEVER_CLOSED)
        elif len(values) != columns:
            reason = f"{len(values)} values, but there are {columns} columns"
            if quote and "'" in text and quote not in text and len(values) > columns:
                reason += '; say --quote "\'" where values are between single ones'
            if quote and quote in text:
                reason += f"; {quote} on this line may be text or not closed"
            yield Cells(line, [], reason)
        else:
            yield Cells(line, values)


def _spanning(
    first: FileLine,
    lines: Iterator[FileLine],
    waiting: deque[FileLine],
    splitter: Splitter,
    columns: int,
    is_row: IsRow,
) -> list[str] | None:
    """The values of the record that begins on `first` and spans lines; None, with the lines put back, if none does."""
    quote = splitter.quote
    taken = [first]
    size = len(first.raw)
    found: list[str] | None = None
    while len(taken) <= _MAX_SPANNED_LINES and size < MAX_LINE_BYTES:
        line = waiting.popleft() if waiting else next(lines, None)
        if line is None:
            break
        taken.append(line)
        size += len(line.raw)
        if quote not in line.raw.decode(errors="replace").replace(quote * 2, ""):
            continue
        found = _joined(taken, splitter, columns)
        if found is not None:
            break
    if found is not None and len(found) == columns and not _are_rows(taken[1:], splitter, columns, is_row):
        return found
    waiting.extendleft(reversed(taken[1:]))
    return None


def _joined(taken: Sequence[FileLine], splitter: Splitter, columns: int) -> list[str] | None:
    try:
        text = b"\n".join(line.raw for line in taken).decode()
    except UnicodeDecodeError:
        return None
    return splitter.split(text, columns)


def _are_rows(lines: Sequence[FileLine], splitter: Splitter, columns: int, is_row: IsRow) -> bool:
    """Whether more than half of the lines are rows by themselves."""
    count = 0
    for line in lines:
        values = splitter.split(line.raw.decode(errors="replace"), columns)
        count += values is not None and len(values) == columns and is_row(values)
    return 2 * count > len(lines)


def _text(line: FileLine) -> str:
    return line.raw.decode()
