"""Opens a file's bytes: as they are, or unpacked where they are compressed (gz, zst, bz2, xz) or archived (zip, tar).

A path may name a file in an archive: `archive.zip/ratings.csv`.
"""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, cast

from msgspec import Struct

from app.errors import UserError
from app.importing.archives import (
    TAR_HEADER_BYTES,
    ZIP_MAGIC,
    chosen,
    is_tar,
    tar_member,
    tar_names,
    zip_member,
    zip_names,
    zip_size,
)
from app.importing.concatenated import ConcatenatedStreams
from app.importing.unreadable import LONGEST_MAGIC, why_unreadable

_GZIP_MAGIC: Final = b"\x1f\x8b"
_SKIPPED: Final = 0x5
"""Of a frame of zstd without data, as pzstd writes before each other one."""
_MOST_LAYERS: Final = 4
_DAMAGED: Final = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError)


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
        in_zip = member is not None and zipfile.is_zipfile(archive)
        return zip_size(archive, member or "*") if in_zip else archive.stat().st_size


def is_there(path: Path) -> bool:
    """Whether the path names a file, or one in an archive."""
    return path.is_file() or (_archive_of(path) is not None)


def members_of(path: Path) -> list[str]:
    """The names of the files in an archive; empty for any other file, and for a workbook, which is a zip, too."""
    with _guarded(path), path.open("rb") as file:
        return zip_names(file) if _peeked(file).startswith(ZIP_MAGIC) else _names_in_tar(path)


def _names_in_tar(path: Path) -> list[str]:
    """Empty unless the file is a tar archive."""
    with path.open("rb") as file:  # of its own, since what unpacks it may close it
        stream = _unwrapped(file)
        beginning = b""
        try:
            while len(beginning) < TAR_HEADER_BYTES and (more := stream.read(TAR_HEADER_BYTES - len(beginning))):
                beginning += more
        except (*_DAMAGED, OSError):
            return []  # reading says so, with the line
    if not is_tar(beginning):
        return []
    with path.open("rb") as file:
        return tar_names(_unwrapped(file))


def _peeked(stream: IO[bytes]) -> bytes:
    beginning: bytes = cast("Any", stream).peek(LONGEST_MAGIC)
    return beginning[:LONGEST_MAGIC]


def _archive_of(path: Path) -> Path | None:
    return next((parent for parent in path.parents if parent.is_file() and members_of(parent)), None)


def _split(path: Path) -> tuple[Path, str | None]:
    """The file on the disk, and the member in it where the path goes on behind an archive."""
    if path.exists() or (archive := _archive_of(path)) is None:
        return path, None
    return archive, path.relative_to(archive).as_posix()


def _unpacked(path: Path, file: IO[bytes], member: str | None) -> IO[bytes]:
    magic = _peeked(file)
    archive = Path(file.name)
    if magic.startswith(ZIP_MAGIC):
        names = zip_names(file)
        if not names:  # a workbook
            file.seek(0)
            return file
        inner = zip_member(path, file, chosen(archive, names, member or "*"))
    elif names := _names_in_tar(archive):
        inner = tar_member(_unwrapped(file), chosen(archive, names, member or "*"))
    else:
        inner = file
    stream = _unwrapped(inner)
    if why := why_unreadable(_peeked(stream)):
        raise UserError(f"{path} is {why}")
    return stream


def _unwrapped(stream: IO[bytes]) -> IO[bytes]:
    """The bytes within all that compresses them: a file may have been packed twice."""
    for _ in range(_MOST_LAYERS):
        inner = _decompressed(_peeked(stream), stream)
        if inner is None:
            break
        stream = inner
    return stream


def _decompressed(magic: bytes, file: IO[bytes]) -> IO[bytes] | None:
    if magic.startswith(_GZIP_MAGIC):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file, mode="rb"))
    if magic.startswith(b"BZh"):
        return io.BufferedReader(ConcatenatedStreams(file, bz2.BZ2Decompressor))
    if magic.startswith(b"\xfd7zXZ\x00"):
        return io.BufferedReader(ConcatenatedStreams(file, partial(lzma.LZMADecompressor, lzma.FORMAT_XZ)))
    if magic.startswith(b"\x28\xb5\x2f\xfd") or (magic[1:4] == b"\x2a\x4d\x18" and magic[0] >> 4 == _SKIPPED):
        import pyarrow  # a third of a second, for those alone who need it

        unpacked = pyarrow.CompressedInputStream(pyarrow.PythonFile(file, mode="r"), "zstd")
        return cast("IO[bytes]", io.BufferedReader(unpacked))
    return None


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise Damaged(path, error) from error
    except OSError as error:
        if error.errno is None:  # what unpacks bz2 and zstd says so, and no disk
            raise Damaged(path, error) from error
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
