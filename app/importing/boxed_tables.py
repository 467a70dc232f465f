"""Tables as they are pasted: as clients of databases draw them (`mysql`, `psql`), and as Markdown writes them."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from typing import Final

from msgspec import Struct, structs

from app.importing.lines import FileLine

DELIMITER: Final = "|"
_LOOKED_AT: Final = 20
_BARS: Final = tuple(bar.encode() for bar in "│┃║")
_CROSSES: Final = frozenset("+|┼╪╋┬┴├┤")
_DASHES: Final = ("--", "──", "━━", "══")
_DRAWN: Final = " \t:=-─━═+|│┼├┤┌┐└┘┬┴╞╡╪╋┏┓┗┛┳┻┣┫"
_FOOTER: Final = re.compile(rb"\(\d+ rows?\)|\d+ rows? in set\b.*|Time: .*|(?:mysql|MariaDB \[.*\])> ?.*")
_AROUND_BAR: Final = re.compile(rb"\s*\|\s*")


class Box(Struct, frozen=True):
    """`skip`: how many lines are above the table. `closed`: each row has a bar at both ends, too."""

    skip: int
    closed: bool


def box_of(lines: Iterable[FileLine]) -> Box | None:
    """The box of the table that the first lines have; None where they have none."""
    first = [line for line in islice(lines, _LOOKED_AT) if line.raw.strip()]
    for above, below in pairwise(first):
        row, rule = (below, above) if _is_rule(above.raw) else (above, below)
        if _is_rule(rule.raw) and DELIMITER.encode() in _with_bars(row.raw) and not _is_rule(row.raw):
            return Box(above.number - 1, _with_bars(row.raw).strip().startswith(DELIMITER.encode()))
    return None


def unboxed(lines: Iterable[FileLine], box: Box) -> Iterator[FileLine]:
    """The rows, their values with bars between them; without what is drawn and what the client says below them."""
    for line in islice(lines, box.skip, None):
        raw = _with_bars(line.raw).strip()
        if _is_rule(line.raw) or _FOOTER.fullmatch(raw):
            continue
        if box.closed:
            raw = raw.removeprefix(DELIMITER.encode()).removesuffix(DELIMITER.encode())
        yield structs.replace(line, raw=_AROUND_BAR.sub(DELIMITER.encode(), raw).strip())


def _is_rule(raw: bytes) -> bool:
    """Whether it is a line of dashes and crosses, and nothing else."""
    text = raw.decode(errors="replace").strip()
    return not text.strip(_DRAWN) and any(map(text.__contains__, _DASHES)) and not _CROSSES.isdisjoint(text)


def _with_bars(raw: bytes) -> bytes:
    for bar in _BARS:
        raw = raw.replace(bar, DELIMITER.encode())
    return raw
