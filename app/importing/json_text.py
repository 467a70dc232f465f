"""Finds the objects in JSON text: one a line, or in an array or one after the other over several lines.

An object that is not valid costs itself alone.
"""

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from app.core.decoding import why_not_json
from app.importing.lines import MAX_LINE_BYTES, FileLine, read_lines
from app.importing.values import Refused

_NO_NUMBERS: Final = (b"NaN", b"Infinity")
_LOOKED_AT_LINES: Final = 100
# A string ends with its line: a quote that is never closed hides the rest of its line alone.
_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}]')


def one_object_a_line(path: Path, encoding: str) -> bool:
    """Whether one of the first lines is an object by itself, and the first one is not the beginning of a larger one."""
    lines = [line.raw.strip() for line in islice(read_lines(path, encoding), _LOOKED_AT_LINES)]
    objects = [raw for raw in lines if raw.startswith(b"{")]
    return bool(objects) and not objects[0].endswith((b"[", b"{", b",")) and any(map(_is_object, objects))


def read_objects(path: Path, encoding: str, *, by_line: bool) -> Iterator[FileLine]:
    """The text of each object with the number of its first line, not decoded yet."""
    lines = read_lines(path, encoding)
    return (line for line in lines if line.raw.strip()) if by_line else _spanning_objects(lines)


def decode_object(raw: bytes) -> dict[str, Any]:
    """Raises `Refused` with the reason."""
    try:
        values = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        values = _with_nan(raw)
        if values is None:
            raise Refused(why_not_json(error, raw)) from None
    except RecursionError:
        raise Refused("not JSON: nested too deeply") from None
    if not isinstance(values, dict):
        raise Refused("a JSON object is expected on each line")
    return values


def _with_nan(raw: bytes) -> Any:
    """What Python's own writer makes of numbers that are none: NaN is missing. None where that is not the fault."""
    if not any(word in raw for word in _NO_NUMBERS):
        return None
    try:
        return json.loads(raw, parse_constant=lambda name: None)
    except (ValueError, RecursionError):
        return None


def _spanning_objects(lines: Iterator[FileLine]) -> Iterator[FileLine]:
    depth = 0
    first: FileLine | None = None
    indent = -1
    parts: list[bytes] = []
    size = 0
    for line in lines:
        raw = line.raw
        begins = len(raw) - len(raw.lstrip()) if raw.lstrip().startswith(b"{") else -1
        if depth and first is not None and begins == indent >= 0 and raw.rstrip() != b"{}":
            # An object begins where objects begin, so the one before it was never closed.
            yield _whole(first, parts, line.pos)
            depth, parts = 0, []
        start = 0
        for token in _TOKENS.finditer(raw):
            mark = token[0]
            if mark == b"{":
                if not depth:
                    first, start, size = line, token.start(), 0
                    indent = begins if begins == start else -1
                depth += 1
            elif mark == b"}" and depth:
                depth -= 1
                if not depth and first is not None:
                    yield _whole(first, [*parts, raw[start : token.end()]], line.pos)
                    parts = []
        if depth:
            parts.append(raw[start:])
            size += len(raw)
            if size > MAX_LINE_BYTES and first is not None:
                yield FileLine(first.number, line.pos, b"\n".join(parts)[:MAX_LINE_BYTES], whole=False)
                depth, parts = 0, []
    if depth and first is not None:
        yield _whole(first, parts, first.pos)


def _whole(first: FileLine, parts: list[bytes], pos: int) -> FileLine:
    return FileLine(first.number, pos, b"\n".join(parts))


def _is_object(raw: bytes) -> bool:
    try:
        decode_object(raw)
    except Refused:
        return False
    return True
