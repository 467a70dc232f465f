"""Tables in boxes, as they are pasted: what clients of databases draw (`mysql`, `duckdb`), Polars, Markdown."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Final

from msgspec import Struct, structs

from app.importing.lines import FileLine

CELL_END: Final = "│"
"""Stands between the values of a row that is no longer drawn; in one it is written as |."""
LEFT_OUT: Final = "the client left rows out here; let it write all of them, as CSV for example"
CUT_OFF: Final = "the client cut a value off (…); let it write whole values, as CSV for example"
_LOOKED_AT: Final = 20
_MOST_TYPE_LINES: Final = 4
_BARS: Final = "│┃║┆┊"
_SPLIT_BARS: Final = re.compile(f"[{_BARS}]")
_SPLIT_PIPES: Final = re.compile(r"(?<!\\)\|")  # Markdown writes a bar in a value as \|
_CROSSES: Final = frozenset("+|┼╪╋┬┴├┤╇")
_DASHES: Final = ("--", "==", "──", "━━", "══", "╌╌")
_DRAWN: Final = " \t:=-─━═╌+|│┃║┆┊┼├┤┌┐└┘┬┴╞╡╪╋┏┓┗┛┳┻┣┫╇┡┩╭╮╰╯"
_NAMES_IN_RULE: Final = re.compile(r"┌─*[^─┬].*┬.*┐")
_NAMED_RULE: Final = re.compile(r"[┌└].*[┐┘]")
_ROW_NUMBER: Final = re.compile(rf"\d+\. (?=[{_BARS}])")
_FOOTER: Final = re.compile(
    r"\(?(\?|\d[\d.,]*)( \w+)? (rows?\b|columns?\b|Row\(s\)).*|\(\d.* shown\)|(Elapsed|Run Time|Time)\b.*:.*"
    r"|\(\d+ [^()]*\)|(mysql|MariaDB \[.*\])> ?.*"
)
_HIDDEN: Final = frozenset({"·", "…", "...", "⋮"})


class Box(Struct, frozen=True):
    """`skip`: how many lines are above the names. `closed`: each row has a bar at both ends, too.

    `pipes`: the bars are `|`. `type_lines`: how many lines below the names tell the types of the columns.
    """

    skip: int
    closed: bool
    pipes: bool
    type_lines: int = 0


def box_of(lines: Iterable[FileLine]) -> Box | None:
    """The box of the table that the first lines have; None where they have none."""
    first = [(line.number - 1, _text(line)) for line in islice(lines, _LOOKED_AT) if line.raw.strip()]
    rules = [_is_rule(text) for _, text in first]
    for at, (skip, text) in enumerate(first):
        if _NAMES_IN_RULE.fullmatch(text):
            return Box(skip, closed=True, pipes=False)
        below = at + 1 < len(first) and rules[at + 1]
        above = at > 0 and rules[at - 1]
        if rules[at] or not (below or above):
            continue
        pipes = _SPLIT_BARS.search(text) is None
        if not pipes or "|" in text:
            box = Box(skip, text[0] in f"|{_BARS}", pipes)
            # Polars has dashes between the names and the types, too.
            marked = below and set(_cells(first[at + 1][1], box)) == {"---"} and rules[at + 1 : at + 4] == [1, 0, 1]
            return structs.replace(box, type_lines=1 if marked else 0 if below else _type_lines(rules[at + 1 :]))
    return None


def unboxed(lines: Iterable[FileLine], box: Box) -> Iterator[FileLine]:
    """The names and the rows, without what is drawn and what the client says below them."""
    type_lines = box.type_lines
    for number, line in enumerate(islice(lines, box.skip, None)):
        text = _text(line)
        if number == 0 and _NAMES_IN_RULE.fullmatch(text):
            cells = [part.strip("┌─┐ ") for part in text.split("┬")]
        elif not text or _is_rule(text) or _NAMED_RULE.fullmatch(text):
            continue
        else:
            cells = _cells(text, box)
            if len(cells) == 1 and _FOOTER.fullmatch(cells[0]):
                continue
            if number and type_lines:
                type_lines -= 1
                continue
        yield with_cells(line, cells)


def with_cells(line: FileLine, cells: Iterable[str]) -> FileLine:
    """The line with these values instead of what was drawn."""
    text = CELL_END.join(cell.replace(CELL_END, "|") for cell in cells)
    return structs.replace(line, raw=text.encode("utf-8", "surrogateescape"))


def why_incomplete(values: Sequence[str], box: Box) -> str:
    """Why a row is not what the table had, where the client drew it so; else empty."""
    if all(value in _HIDDEN for value in values):
        return LEFT_OUT
    cut = any(len(value) > 1 and value.endswith("…") for value in values)  # one alone is of a column that is left out
    return CUT_OFF if box.type_lines and cut else ""


def _cells(text: str, box: Box) -> list[str]:
    text = _ROW_NUMBER.sub("", text, count=1)
    parts = [part.strip() for part in (_SPLIT_PIPES if box.pipes else _SPLIT_BARS).split(text)]
    if box.closed and len(parts) > 1:
        parts = parts[not parts[0] : len(parts) - (not parts[-1])]
    return [part.replace("\\|", "|") for part in parts] if box.pipes else parts


def _type_lines(rules: Sequence[bool]) -> int:
    """How many lines are between the names and the line below them, where rows follow it."""
    until = next((at for at, (rule, below) in enumerate(pairwise(rules)) if rule and not below), 0)
    return until if until <= _MOST_TYPE_LINES else 0


def _is_rule(text: str) -> bool:
    """Whether it is a line of dashes and crosses, and nothing else."""
    return not text.strip(_DRAWN) and any(map(text.__contains__, _DASHES)) and not _CROSSES.isdisjoint(text)


def _text(line: FileLine) -> str:
    return line.raw.decode("utf-8", "surrogateescape").strip()
