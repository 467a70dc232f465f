"""Finds the objects in JSON text: one a line, or in an array or one after the other over several lines.

An object that is not valid costs itself alone.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from app.core.decoding import why_not_json
from app.importing.lines import MAX_LINE_BYTES, FileLine, before_damage, read_lines
from app.importing.typed_json import may_be_typed, without_types
from app.importing.values import Refused

RECORD_SEPARATOR: Final = b"\x1e"
"""In front of each object of a JSON text sequence (RFC 7464)."""
JSON_IN_TEXT: Final = b'"{\\"'
"""How a line begins that is JSON text with an object in it, which was encoded twice."""
_NO_NUMBERS: Final = (b"NaN", b"Infinity")
_LOOKED_AT_LINES: Final = 100
_BRACES: Final = (b"{", b"}")
_LAST_COMMA: Final = re.compile(rb'("(?:[^"\\]++|\\.)*+")|,(\s*(?:[}\]]|\Z))')
# A string ends with its line: a quote that is never closed hides the rest of its line alone.
_TOKENS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[][{}]')


def one_object_a_line(path: Path, encoding: str) -> bool:
    """Whether one of the first lines is an object by itself, and the first one is not the beginning of a larger one."""
    first = islice(before_damage(read_lines(path, encoding)), _LOOKED_AT_LINES)
    lines = [line.raw.removeprefix(RECORD_SEPARATOR).strip() for line in first]
    objects = [raw for raw in lines if raw.startswith((b"{", JSON_IN_TEXT))]
    return bool(objects) and not objects[0].endswith((b"[", b"{", b",")) and any(map(_is_object, objects))


def read_objects(path: Path, encoding: str, *, by_line: bool) -> Iterator[FileLine]:
    """The text of each object with the number of its first line, not decoded yet."""
    if by_line:
        return (line for line in read_lines(path, encoding) if line.raw.strip())
    return spanning(cut_behind_braces(read_lines(path, encoding, in_pieces=True)), _BRACES)


def decode_object(raw: bytes) -> dict[str, Any]:
    """Raises `Refused` with the reason."""
    raw = raw.removeprefix(RECORD_SEPARATOR)
    try:
        values = msgspec.json.decode(raw)
        if isinstance(values, str):
            values = msgspec.json.decode(values)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        values = _with_nan(raw) or _of_python(raw) or _with_commas(raw)
        if values is None:
            raise Refused(why_not_json(error, raw)) from None
    except RecursionError:
        raise Refused("not JSON: nested too deeply") from None
    if not isinstance(values, dict):
        raise Refused("a JSON object is expected on each line")
    if not may_be_typed(raw):
        return values
    try:
        return without_types(values)
    except RecursionError:
        raise Refused("not JSON: nested too deeply") from None


def _with_nan(raw: bytes) -> Any:
    """What Python's own writer makes of numbers that are none: NaN is missing. None where that is not the fault."""
    if not any(word in raw for word in _NO_NUMBERS):
        return None
    try:
        return json.loads(raw, parse_constant=lambda name: None)
    except (ValueError, RecursionError):
        return None


def _with_commas(raw: bytes) -> Any:
    """What is meant with a comma behind the last value. None where that is not the fault."""
    without = _LAST_COMMA.sub(lambda found: found[1] or found[2], raw)
    if without == raw:
        return None
    try:
        return msgspec.json.decode(without)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _of_python(raw: bytes) -> Any:
    """What Python's `repr` makes of a dict, as in the products of Amazon's reviews of 2014. None for any other text."""
    if not raw.startswith((b"{'", b"{u'")):
        return None
    try:
        return ast.literal_eval(raw.decode())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def cut_behind_braces(lines: Iterable[FileLine]) -> Iterator[FileLine]:
    """The lines; instead of pieces of a long line, lines that end behind a brace or a bracket, and within no string."""
    rest = b""
    for line in lines:
        raw, rest = rest + line.raw, b""
        if line.whole:
            yield FileLine(line.number, line.pos, raw)
            continue
        end = max((token.end() for token in _TOKENS.finditer(raw) if token[0][:1] != b'"'), default=0)
        rest = raw[end:]
        if len(rest) > MAX_LINE_BYTES:
            yield FileLine(line.number, line.pos, rest[:MAX_LINE_BYTES], whole=False)
            rest = b""
        if end:
            yield FileLine(line.number, line.pos, raw[:end])


def spanning(lines: Iterable[FileLine], marks: tuple[bytes, bytes]) -> Iterator[FileLine]:
    """The outermost objects or lists in the lines, by the marks that open and close one."""
    opening, closing = marks
    depth = 0
    first: FileLine | None = None
    indent = -1
    parts: list[bytes] = []
    size = 0
    for line in lines:
        raw = line.raw
        begins = len(raw) - len(raw.lstrip()) if raw.lstrip().startswith(opening) else -1
        if depth and first is not None and begins == indent >= 0 and raw.rstrip() != opening + closing:
            # An object begins where objects begin, so the one before it was never closed.
            yield _whole(first, parts, line.pos)
            depth, parts = 0, []
        start = 0
        for token in _TOKENS.finditer(raw):
            mark = token[0]
            if mark == opening:
                if not depth:
                    first, start, size = line, token.start(), 0
                    indent = begins if begins == start else -1
                depth += 1
            elif mark == closing and depth:
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
