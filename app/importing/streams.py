"""Opens a file's bytes: as they are, or unpacked where they are compressed (gz, zst, bz2, xz, zip).

A path may name a member of a zip archive: `archive.zip/ratings.csv`.
"""

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, Any, Final, cast

from msgspec import Struct

from app.errors import UserError

ZIP_MAGIC: Final = b"PK\x03\x04"
_GZIP_MAGIC: Final = b"\x1f\x8b"
_LONGEST_MAGIC: Final = 8
_DAMAGED: Final = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile)
_UNREADABLE: Final = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
    b"\x04\x22\x4d\x18": "compressed by lz4",
    b"\x1f\x9d": "compressed by compress",
    b"%PDF": "a PDF",
    b"SQLite f": "an SQLite database",
}


class Damaged(UserError):
    """The packed data is damaged from some place on."""

    def __init__(self, path: Path, cause: Exception) -> None:
        super().__init__(f"{path}: the compressed data is damaged: {cause}")
        self.cause = cause


class ByteStream(Struct, frozen=True):
    """The unpacked bytes. `pos()` counts the bytes of the file read so far, packed as they are there.

    `packed`: the file itself holds other bytes.
    """

    read: Callable[[int], bytes]
    pos: Callable[[], int]
    packed: bool


@contextmanager
def open_bytes(path: Path) -> Iterator[ByteStream]:
    """Raises `UserError` when the file cannot be opened or is of a kind that is not read.

    Reading raises `UserError`, too: where the packed data is damaged, and where the disk fails.
    """
    with _guarded(path):
        archive, member = _split(path)
        file = archive.open("rb")
    with file:
        with _guarded(path):
            stream = _unpacked(path, file, member)
            # What was unpacked before the damage comes first; `read` would give it up.
            step = getattr(stream, "read1", stream.read)

        def read(size: int) -> bytes:
            with _guarded(path):
                return step(size) or b""

        yield ByteStream(read, file.tell, packed=stream is not file)


def packed_size(path: Path) -> int:
    """The bytes that reading the file goes through, for the progress."""
    with _guarded(path):
        archive, member = _split(path)
        return archive.stat().st_size if member is None else _member(archive, member).compress_size


def is_there(path: Path) -> bool:
    """Whether the path names a file, or a member of a zip archive."""
    return path.is_file() or (_archive_of(path) is not None)


def members_of(path: Path) -> list[str]:
    """The names of the files in a zip archive; empty for any other file, and for a workbook, which is a zip, too."""
    with _guarded(path):
        if not zipfile.is_zipfile(path):
            return []
        with zipfile.ZipFile(path) as archive:
            return _data_members(archive)


def _data_members(archive: zipfile.ZipFile) -> list[str]:
    names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    if {"[Content_Types].xml", "mimetype"} & set(names):
        return []
    return sorted(name for name in names if not any(part.startswith((".", "__MACOSX")) for part in name.split("/")))


def _archive_of(path: Path) -> Path | None:
    return next((parent for parent in path.parents if parent.is_file() and zipfile.is_zipfile(parent)), None)


def _split(path: Path) -> tuple[Path, str | None]:
    """The file on the disk, and the member in it where the path goes on behind a zip archive."""
    if path.exists() or (archive := _archive_of(path)) is None:
        return path, None
    return archive, path.relative_to(archive).as_posix()


def _member(path: Path, pattern: str) -> zipfile.ZipInfo:
    with zipfile.ZipFile(path) as archive:
        names = _data_members(archive)
        found = [name for name in names if fnmatch(name, pattern)]
        if len(found) != 1:
            listed = "\n".join(f"  {path}/{name}" for name in (found or names)[:20])
            raise UserError(f"{path} holds {len(names)} files; say which of them to read:\n{listed}")
        return archive.getinfo(found[0])


def _unpacked(path: Path, file: IO[bytes], member: str | None) -> IO[bytes]:
    magic = cast("Any", file).peek(_LONGEST_MAGIC)[:_LONGEST_MAGIC]
    for known, kind in _UNREADABLE.items():
        if magic.startswith(known):
            raise UserError(f"{path} is {kind}, which is not read; unpack or convert it first")
    if magic.startswith(ZIP_MAGIC):
        archive = zipfile.ZipFile(file)
        if not _data_members(archive):  # a workbook
            file.seek(0)
            return file
        inner = cast("Any", archive.open(_member(Path(file.name), member or "*")))
        return _decompressed(inner.peek(_LONGEST_MAGIC)[:_LONGEST_MAGIC], inner) or cast("IO[bytes]", inner)
    return _decompressed(magic, file) or file


def _decompressed(magic: bytes, file: IO[bytes]) -> IO[bytes] | None:
    if magic.startswith(_GZIP_MAGIC):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    if magic.startswith(b"BZh"):
        return cast("IO[bytes]", bz2.BZ2File(file))
    if magic.startswith(b"\xfd7zXZ\x00"):
        return cast("IO[bytes]", lzma.LZMAFile(file))
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        import pyarrow  # a third of a second, for those alone who need it

        return cast("IO[bytes]", pyarrow.CompressedInputStream(pyarrow.PythonFile(file, mode="r"), "zstd"))
    return None


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise Damaged(path, error) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
