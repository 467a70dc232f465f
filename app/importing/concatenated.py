"""Compressed streams that stand one behind the other in a file, as several packers at once write them.

Python's own readers of bz2 and xz take what they cannot read behind a stream for the end of the file.
"""

import io
from collections.abc import Callable
from typing import IO, Any, Final

_READ_BYTES: Final = 64 * 1024


class ConcatenatedStreams(io.RawIOBase):
    """The unpacked bytes of all streams. `new`: makes what unpacks one of them, as `bz2.BZ2Decompressor` does.

    Zeros behind a stream are padding. Reading raises what the one that unpacks raises, and `EOFError` for a cut file.
    """

    def __init__(self, file: IO[bytes], new: Callable[[], Any]) -> None:
        self._file = file
        self._new = new
        self._stream = new()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """At most one piece, so that what stands before a damaged place comes first."""
        view = memoryview(buffer)
        while True:
            packed = b""
            if self._stream.eof:
                if not (packed := self._next_stream()):
                    return 0
                self._stream = self._new()
            elif self._stream.needs_input and not (packed := self._file.read(_READ_BYTES)):
                raise EOFError("it ends in the middle")
            found = self._stream.decompress(packed, len(view))
            if found:
                view[: len(found)] = found
                return len(found)

    def _next_stream(self) -> bytes:
        """Its first bytes; empty at the end of the file."""
        packed: bytes = self._stream.unused_data
        while not packed.strip(b"\0"):
            if not (packed := self._file.read(_READ_BYTES)):
                return b""
        return packed.lstrip(b"\0")
