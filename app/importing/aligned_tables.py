"""Tables with dashes below each name, as `sqlcmd`, `sqlite3 -column`, SQL*Plus, Db2 and PowerShell write them."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from typing import Final

from msgspec import Struct

from app.importing.boxed_tables import with_cells
from app.importing.lines import FileLine

_LOOKED_AT: Final = 40
_PLACES: Final = re.compile(r" *-+(?: +-+)+ *")
_DELIMITED: Final = re.compile(r" *-+ *(?P<delimiter>[\t,;^~]) *-+ *(?:(?P=delimiter) *-+ *)*")
_FOOTER: Final = re.compile(
    r"\(\d+ [^()]*\)|(?:no|\d+) (?:rows?|record\(s\)) selected\b.*|(?:Elapsed|Time)\b.*:.*|\d+>.*"
)


class Aligned(Struct, frozen=True):
    """`skip`: how many lines are above the names. `delimiter`: what is between the values, instead of their places.

    `starts`: where the columns begin, in characters.
    """

    skip: int
    starts: tuple[int, ...]
    delimiter: str | None


def aligned_of(lines: Iterable[FileLine]) -> Aligned | None:
    """The table that the first lines have; None where they have none."""
    first = [(line.number - 1, _text(line)) for line in islice(lines, _LOOKED_AT) if line.raw.strip()]
    for at, ((skip, names), (_, rule)) in enumerate(pairwise(first)):
        if "--" not in rule:
            continue
        above = [text for _, text in first[:at]]
        if found := _DELIMITED.fullmatch(rule):
            delimiter = found["delimiter"]
            wanted, named, *others = (text.count(delimiter) for text in (rule, names, *above))
            # A line of dashes below other rows is a row, too.
            return Aligned(skip, (), delimiter) if wanted == named and wanted not in others else None
        if not _PLACES.fullmatch(rule):
            continue
        starts = tuple(dashes.start() for dashes in re.finditer("-+", rule))
        rows = [text for _, text in first[at + 2 :] if not _is_drawn(text)]
        fitting = sum(_values(text, starts) is not None for text in rows)
        among_rows = any(_all_there(text, starts) for text in above)
        if _all_there(names, starts) and 2 * fitting >= len(rows) and not among_rows:
            return Aligned(skip, starts, None)
    return None


def unaligned(lines: Iterable[FileLine], table: Aligned) -> Iterator[FileLine]:
    """The names and the rows, without what is drawn, repeated names, and what the client says below.

    A row whose values are not below the names stays as it is.
    """
    names = None
    for line in islice(lines, table.skip, None):
        text = _text(line)
        if names is None:
            names = text
        elif not text.strip() or text == names or _is_drawn(text):
            continue
        values = None if table.delimiter else _values(text, table.starts)
        if values is None:
            yield line
        else:
            yield with_cells(line, values)


def _all_there(text: str, starts: tuple[int, ...]) -> bool:
    return all(_values(text, starts) or [""])


def _is_drawn(text: str) -> bool:
    """Whether it is a line of dashes, or what the client says below the rows."""
    rule = _PLACES.fullmatch(text) or _DELIMITED.fullmatch(text)
    return rule is not None or _FOOTER.fullmatch(text.strip()) is not None


def _values(text: str, starts: tuple[int, ...]) -> list[str] | None:
    """The values that begin at the places, or end before the next one; None where a value crosses one."""
    if text[: starts[0]].strip() or any(text[start - 1 : start].strip() for start in starts[1:]):
        return None
    return [text[start:end].strip() for start, end in zip(starts, (*starts[1:], None), strict=True)]


def _text(line: FileLine) -> str:
    return line.raw.decode("utf-8", "surrogateescape")
