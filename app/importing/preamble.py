"""What may stand in front of the first line of a text file: comments, and Excel's `sep=;`."""

import re
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from msgspec import Struct

from app.importing.lines import FileLine

_SEPARATOR: Final = re.compile(rb"sep=(.|::)\s*", re.IGNORECASE)
_LOOKED_AT: Final = 1_000


class Beginning(Struct, frozen=True):
    """`first`: the first line with values or names; None: there is none. `skip`: how many lines are before it.
    `delimiter`: what such a line says.
    """

    first: FileLine | None
    skip: int = 0
    delimiter: str | None = None


def beginning_of(lines: Iterable[FileLine], count_values: Callable[[str], int]) -> Beginning:
    """A comment has the mark `#`. The last one names the columns if it has as many values as the line below it, by
    `count_values`.
    """
    delimiter = None
    last: FileLine | None = None
    for line in islice(lines, _LOOKED_AT):
        raw = line.raw.strip()
        if not raw:
            continue
        if last is None and delimiter is None and (found := _SEPARATOR.fullmatch(raw)):
            delimiter = found[1].decode(errors="replace")
        elif raw.startswith(b"#"):
            last = line
        else:
            names = last is not None and _count(last, count_values) == _count(line, count_values) > 1
            first = last if names and last is not None else line
            return Beginning(first, first.number - 1, delimiter)
    return Beginning(last, last.number - 1 if last is not None else 0, delimiter)


def _count(line: FileLine, count_values: Callable[[str], int]) -> int:
    return count_values(line.raw.decode(errors="replace"))
