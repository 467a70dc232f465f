"""Zip and tar archives: which files are in one, and the bytes of one of them."""

import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, cast

from app.errors import UserError

ZIP_MAGIC: Final = b"PK\x03\x04"
TAR_HEADER_BYTES: Final = 512
_TAR_MAGIC: Final = b"ustar"
_TAR_MAGIC_AT: Final = 257
_HIDDEN: Final = (".", "__MACOSX")
_WORKBOOK: Final = frozenset({"[Content_Types].xml", "mimetype"})
_ENCRYPTED: Final = 0x1


def is_tar(beginning: bytes) -> bool:
    """By the first `TAR_HEADER_BYTES` of a file, unpacked."""
    return beginning[_TAR_MAGIC_AT:].startswith(_TAR_MAGIC)


def zip_names(file: "IO[bytes] | Path") -> list[str]:
    """The names of the files in a zip archive; empty for a workbook, which is a zip, too."""
    with zipfile.ZipFile(file) as archive:
        names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    return [] if _WORKBOOK & set(names) else _visible(names)


def tar_names(stream: IO[bytes]) -> list[str]:
    """The names of the files in a tar archive, whose unpacked bytes these are."""
    return _visible(name for name, _ in _entries(stream))


def chosen(path: Path, names: list[str], pattern: str) -> str:
    """The one name that fits the pattern. Raises `UserError`, with the names, if it is not one."""
    found = [pattern] if pattern in names else [name for name in names if fnmatch(name, pattern)]
    if len(found) != 1:
        listed = "\n".join(f"  {path}/{name}" for name in (found or names)[:20])
        raise UserError(f"{path} holds {len(names)} files; say which of them to read:\n{listed}")
    return found[0]


def zip_member(path: Path, file: IO[bytes], name: str) -> IO[bytes]:
    """The bytes of the file in the archive. Raises `UserError` where it cannot be unpacked."""
    archive = zipfile.ZipFile(file)
    if archive.getinfo(name).flag_bits & _ENCRYPTED:
        raise UserError(f"{path}: {name} is encrypted; unpack it with its password first")
    try:
        return archive.open(name)
    except NotImplementedError as error:  # as Windows packs large files
        raise UserError(f"{path}: {name} is packed in a way that is not read ({error}); unpack it first") from None


def zip_size(path: Path, pattern: str) -> int:
    """The packed bytes of the file that fits the pattern."""
    name = chosen(path, zip_names(path), pattern)
    with zipfile.ZipFile(path) as archive:
        return archive.getinfo(name).compress_size


def tar_member(stream: IO[bytes], name: str) -> IO[bytes]:
    """The same in a tar archive, whose unpacked bytes are read up to there."""
    return next(opened for found, opened in _entries(stream) if found == name)


def _entries(stream: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    archive = tarfile.open(fileobj=stream, mode="r|")  # noqa: SIM115 - the stream is the caller's
    for entry in archive:
        if entry.isfile():
            yield PurePosixPath(entry.name).as_posix(), cast("Any", archive.extractfile(entry))


def _visible(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if not any(part.startswith(_HIDDEN) for part in name.split("/")))
