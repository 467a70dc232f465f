"""Reads the lines of a plain or gzipped file as bytes, with the position of each."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, cast

from msgspec import Struct

from app.errors import UserError

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
_GZIP_MAGIC: Final = b"\x1f\x8b"
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_UTF16_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")


class FileLine(Struct, frozen=True):
    """One line with its line end. `number` counts from 1; `pos` is the number of (compressed) bytes read so far.

    `whole` is False for a line longer than `MAX_LINE_BYTES`: it holds only the beginning of that line.
    """

    number: int
    pos: int
    raw: bytes
    whole: bool = True


def read_lines(path: Path) -> Iterator[FileLine]:
    """Raises `UserError` when the file cannot be opened, is UTF-16, or its compressed data is damaged."""
    number = 0
    try:
        with path.open("rb") as file:
            zipped = file.peek(2)[:2] == _GZIP_MAGIC
            stream = cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if zipped else file
            while raw := stream.readline(MAX_LINE_BYTES):
                number += 1
                whole = raw.endswith(b"\n") or len(raw) < MAX_LINE_BYTES
                if not whole:
                    _pass_over(stream)
                if number == 1:
                    if raw.startswith(_UTF16_BOMS):
                        raise UserError(f"{path} is UTF-16; convert it to UTF-8 first: iconv -f UTF-16 -t UTF-8")
                    raw = raw.removeprefix(_UTF8_BOM)
                yield FileLine(number, file.tell(), raw, whole)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: the compressed data is damaged after line {number}: {error}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


def _pass_over(stream: IO[bytes]) -> None:
    while rest := stream.readline(MAX_LINE_BYTES):
        if rest.endswith(b"\n"):
            return
