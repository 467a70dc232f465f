"""Reads the lines of a text file, unpacked and as UTF-8, with the number and the position of each."""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from msgspec import Struct

from app.errors import UserError
from app.importing.streams import Damaged, open_bytes

_T = TypeVar("_T")

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
BLOCK_BYTES: Final = 1 << 18
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# The end of the first line: what stands in quotes may hold other ones.
_FIRST_END: Final = re.compile(rb'(?:[^"\r\n]++|"[^"]*+")*+(?:\r*\n|(?P<cr>\r))')
# A byte that no UTF-8 has stands for what cannot be decoded, so that the line that holds it is refused, and it alone.
_BAD_BYTE: Final = "\udcff"
EITHER: Final = "utf-8-or-latin-1"
"""Of a file with bytes of both: what is no UTF-8 is latin-1, with what Windows has in its gaps."""
codecs.register_error("reco-bad-byte", lambda error: (_BAD_BYTE, error.end))  # type: ignore[attr-defined]
codecs.register_error(
    "reco-latin-1",
    lambda error: (error.object[error.start : error.end].decode("cp1252", "replace"), error.end),  # type: ignore[attr-defined]
)


class FileLine(Struct, frozen=True, gc=False):
    """One line without its line end; UTF-8, if its bytes could be decoded.

    `number` counts from 1; `pos` is the number of bytes of the file read so far, as they are there. `whole` is False
    for a line longer than `MAX_LINE_BYTES`: it holds only the beginning of that line. In pieces, it is False for each
    piece of a line but the last.
    """

    number: int
    pos: int
    raw: bytes
    whole: bool = True


class DamagedText(UserError):
    """The packed text is damaged behind some line."""


def before_damage(found: Iterable[_T]) -> Iterator[_T]:
    """What a damaged file has before the damage, for those who look at its beginning alone.

    Raises `DamagedText` where that is nothing.
    """
    nothing = True
    try:
        for one in found:
            nothing = False
            yield one
    except DamagedText:
        if nothing:
            raise


def read_lines(path: Path, encoding: str = "utf-8", *, in_pieces: bool = False) -> Iterator[FileLine]:
    """The file's lines, without line ends. A byte order mark wins over `encoding`; a file that was joined from others
    may have one at any line. Where the first line ends with a carriage return alone, all do.

    `in_pieces`: a line may be of any length, and comes in pieces if it is long.

    Raises `UserError` for an unknown encoding, and what reading raises, with the line it came to.
    """
    decoder = _decoder(encoding)
    number = 0
    rest = b""
    cut = False  # inside a line that is too long
    try:
        with open_bytes(path) as stream:
            block = stream.read(BLOCK_BYTES)
            block, decoder = _without_bom(block, decoder)
            first = decoder(block, False)
            ends = _FIRST_END.match(first)
            line_feed = b"\r" if ends is not None and ends["cr"] else b"\n"
            text = first
            while block:
                pos = stream.pos()
                joined = rest + text
                lines = joined.split(line_feed)
                rest = lines.pop()
                if codecs.BOM_UTF8 in joined or b"\r" in joined:
                    lines = [_bare(raw) for raw in lines]
                for raw in lines:
                    if cut:
                        cut = False
                        continue
                    number += 1
                    long = len(raw) >= MAX_LINE_BYTES and not in_pieces
                    yield FileLine(number, pos, raw[:MAX_LINE_BYTES] if long else raw, not long)
                if in_pieces and len(rest) >= BLOCK_BYTES:
                    yield FileLine(number + 1, pos, rest, whole=False)
                    rest = b""
                elif len(rest) >= MAX_LINE_BYTES:
                    if not cut:
                        number += 1
                        yield FileLine(number, pos, rest[:MAX_LINE_BYTES], whole=False)
                    cut, rest = True, b""
                block = stream.read(BLOCK_BYTES)
                text = decoder(block, not block)
            rest += text
            if rest and not cut:
                yield FileLine(number + 1, stream.pos(), _bare(rest))
    except Damaged as error:
        raise DamagedText(f"{path}: the compressed data is damaged after line {number}: {error.cause}") from error


def _bare(raw: bytes) -> bytes:
    """The line without a mark in front of it, and without what is left of `\\r\\n` and `\\r\\r\\n`."""
    return raw.removeprefix(codecs.BOM_UTF8).rstrip(b"\r")


def _decoder(encoding: str) -> Callable[[bytes, bool], bytes]:
    """A function of (bytes, whether they are the last) that gives UTF-8."""
    try:
        info = codecs.lookup("utf-8" if encoding == EITHER else encoding)
        decode = info.incrementaldecoder("reco-latin-1" if encoding == EITHER else "reco-bad-byte").decode
    except (LookupError, TypeError):
        raise UserError(f"--encoding {encoding}: no such encoding; for example utf-8, utf-16 or latin-1") from None
    if info.name in ("utf-8", "ascii") and encoding != EITHER:
        return lambda block, last: block

    def transcode(block: bytes, last: bool) -> bytes:
        try:
            return decode(block, last).encode("utf-8", "surrogateescape")
        except UnicodeError:  # UTF-16 and UTF-32 without a mark do not say which of their two forms this is
            raise UserError(
                f"--encoding {encoding}: the text does not begin as such; say {encoding}-le for example"
            ) from None

    return transcode


def _without_bom(block: bytes, decoder: Callable[[bytes, bool], bytes]) -> tuple[bytes, Callable[[bytes, bool], bytes]]:
    for mark, encoding in _BOMS:
        if block.startswith(mark):
            return block[len(mark) :], _decoder(encoding)
    half = block[: len(block) & ~1][:200]
    if len(half) >= 4 and not any(half[1::2]):  # ASCII as UTF-16 has a zero in each second byte
        return block, _decoder("utf-16-le")
    if len(half) >= 4 and not any(half[::2]):
        return block, _decoder("utf-16-be")
    return block, decoder
