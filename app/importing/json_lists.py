"""JSON in which each row is a list, `[["user", "item"], ["u1", "i1"]]` or one a line. The first may have the names."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from app.core.decoding import why_not_json
from app.errors import UserError
from app.importing.json_text import cut_behind_braces, spanning
from app.importing.lines import FileLine, before_damage, read_lines
from app.importing.values import Refused

_BRACKETS: Final = (b"[", b"]")
_LOOKED_AT_BYTES: Final = 1_000


def are_lists(path: Path, encoding: str) -> bool:
    """Whether the text, which begins with a bracket, has a list for each row."""
    first = next(line for line in read_lines(path, encoding, in_pieces=True) if line.raw.strip())
    if _list_of(first.raw) is not None:
        return True
    beginning = b"".join(line.raw for line in islice(before_damage(read_lines(path, encoding, in_pieces=True)), 3))
    return re.match(rb"\s*\[\s*\[", beginning[:_LOOKED_AT_BYTES]) is not None


def read_lists(path: Path, encoding: str) -> Iterator[FileLine]:
    """The text of each list with the number of its first line, not decoded yet."""
    lines = cut_behind_braces(read_lines(path, encoding, in_pieces=True))
    first = next((line for line in lines if line.raw.strip()), None)
    if first is None:
        return
    if _list_of(first.raw) is None:  # the list around all of them
        first = msgspec.structs.replace(first, raw=first.raw.replace(b"[", b" ", 1))
    yield from spanning(_chained(first, lines), _BRACKETS)


def decode_list(raw: bytes, columns: int) -> list[Any]:
    """The values of a row. Raises `Refused` with the reason."""
    try:
        values = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(why_not_json(error, raw)) from None
    except RecursionError:
        raise Refused("not JSON: nested too deeply") from None
    if not isinstance(values, list) or len(values) != columns:
        count = len(values) if isinstance(values, list) else 0
        raise Refused(f"{count} values, but there are {columns} columns")
    return values


def names_in(path: Path, encoding: str) -> tuple[str, ...]:
    """The names that the first list holds. Raises `UserError` where it holds other values."""
    first = next(read_lists(path, encoding), None)
    names = None if first is None else _list_of(first.raw)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise UserError(
            f"{path}: each row is a list, and the first one has no column names. "
            "Name the columns: --header user_id,item_id,rating,time for example"
        )
    return tuple(names)


def _list_of(raw: bytes) -> Sequence[Any] | None:
    """The list of plain values that the text is; None for any other text."""
    try:
        values = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    plain = isinstance(values, list) and values and not any(isinstance(value, dict | list) for value in values)
    return values if plain else None


def _chained(first: FileLine, lines: Iterator[FileLine]) -> Iterator[FileLine]:
    yield first
    yield from lines
