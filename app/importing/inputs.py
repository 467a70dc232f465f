"""Which files a command's arguments name: files, globs, folders, members of archives, pipes, and `-` for stdin."""

import glob
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import click

from app.errors import UserError
from app.importing.streams import is_there, members_of
from app.importing.versioned import FOLDERS, ICEBERG_FILES, ICEBERG_FOLDER, refusal, table_of

Command = TypeVar("Command", bound=Callable[..., Any])
STDIN: Final = "-"
_FORMATS: Final = (
    *("csv", "tsv", "tab", "txt", "dat", "data", "json", "jsonl", "ndjson"),
    *("parquet", "pq", "arrow", "arrows", "feather", "ipc", "xlsx", "xlsm", "xlsb", "xls", "ods", "zip", "tar", "tgz"),
)
_PACKED: Final = ("gz", "gzip", "zst", "zstd", "bz2", "xz")
# Spark and Hive write text into files without an ending.
_PART: Final = re.compile(r"part-(?:[a-z]-)?\d+|\d{6}_\d+(?:_copy_\d+)?")
_REJECTED: Final = ".rejected.jsonl"


def files_argument(*, required: bool) -> Callable[[Command], Command]:
    """The argument `files` of a click command; `found_files` says which files it names."""
    return click.argument("files", nargs=-1, required=required, metavar="FILE..." if required else "[FILE]...")


@contextmanager
def found_files(arguments: Sequence[str]) -> Iterator[list[Path]]:
    """The files in the order of the arguments, each once; those of a folder or a glob by name.

    Stdin and pipes are copied to temporary files, which are gone at the end: an error within names what was copied.
    Raises `UserError` for what names no file.
    """
    with tempfile.TemporaryDirectory(prefix="reco-") as folder, _names_of_copies(Path(folder), arguments):
        found: dict[Path, None] = {}
        for number, argument in enumerate(arguments):
            copy = Path(folder) / str(number) / STDIN
            if argument == STDIN:
                found |= dict.fromkeys([_copied(sys.stdin.buffer, copy)])
            elif Path(argument).is_fifo():  # as `<(command)` of a shell is
                with Path(argument).open("rb") as pipe:
                    found |= dict.fromkeys([_copied(pipe, copy)])
            else:
                found |= dict.fromkeys(_named(argument))
        yield list(found)


@contextmanager
def _names_of_copies(folder: Path, arguments: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        text = str(error)
        for number, argument in enumerate(arguments):
            text = text.replace(str(folder / str(number) / STDIN), "stdin" if argument == STDIN else argument)
        if text == str(error):
            raise
        raise UserError(text) from error


def rejects_beside(paths: Sequence[Path]) -> Path:
    """The usual file for rejected lines: beside the only input; for several, and for stdin, in this folder."""
    if len(paths) == 1 and paths[0].name != STDIN:
        path = paths[0]
        beside = path if path.exists() else next(parent for parent in path.parents if parent.exists())
        return beside.with_name(beside.name + _REJECTED)
    return Path("stdin" + _REJECTED if len(paths) == 1 else "import" + _REJECTED)


def _named(argument: str) -> list[Path]:
    path = Path(argument)
    if path.is_dir():
        return [member for file in _files_in(path) for member in _of_archive(file)]
    if path.is_file():
        return _of_archive(path)
    if is_there(path) and not glob.has_magic(argument):
        return [path]
    matches = [Path(name) for name in sorted(glob.glob(argument, recursive=True)) if not name.endswith(_REJECTED)]
    archive = next((parent for parent in path.parents if parent.is_file()), None)
    if not matches and archive is not None:
        pattern = path.relative_to(archive).as_posix()
        names = members_of(archive)
        found = [pattern] if pattern in names else [name for name in names if Path(name).match(pattern)]
        matches = [archive / name for name in found]
    if not matches and "://" in argument:
        raise UserError(f"{argument} is an address, and files alone are read: curl -sfL '{argument}' | reco import -")
    if not matches:
        raise UserError(f"{argument}: there is no such file or folder")
    files = [file for match in matches for file in ([match] if not match.is_dir() else _files_in(match))]
    return [member for file in files for member in (_of_archive(file) if file.is_file() else [file])]


def _of_archive(path: Path) -> list[Path]:
    """The file; several files of an archive that are all of the kinds that are read."""
    names = members_of(path)
    return [path / name for name in names] if len(names) > 1 and _parts_of_one(names) else [path]


def _parts_of_one(names: Sequence[str]) -> bool:
    """Whether the names differ in their numbers alone, as `part-0001.csv` and `part-0002.csv` do."""
    return len({"".join(letter for letter in name if not letter.isdigit()) for name in names}) == 1


def _files_in(folder: Path) -> list[Path]:
    below = list(folder.rglob("*"))
    markers = (path for path in below if path.match(ICEBERG_FILES) or (path.name in FOLDERS and path.is_dir()))
    found = table_of(folder, markers) or _table_above(folder)
    if found is not None:
        raise refusal(str(found[0]), found[1], "**/*.parquet")
    files = sorted(
        path
        for path in below
        if path.is_file() and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    )
    data = [path for path in files if _is_data(path)]
    if not data:
        raise UserError(f"{folder} holds no file that is read: {', '.join(_FORMATS)}, plain or packed")
    return data


def _table_above(folder: Path) -> tuple[Path, str] | None:
    """By the folder's own path, and by that behind links."""
    for place in dict.fromkeys([Path(os.path.abspath(folder)), folder.resolve()]):
        for parent in place.parents:
            markers = [parent / name for name in FOLDERS if os.path.isdir(parent / name)]
            if found := table_of(place, [*markers, *parent.glob(f"{ICEBERG_FOLDER}/{ICEBERG_FILES}")]):
                return found
    return None


def _is_data(path: Path) -> bool:
    stem, *endings = path.name.lower().split(".")
    while endings and endings[-1] in _PACKED:
        endings.pop()
    known = endings[-1] in _FORMATS if endings else _PART.fullmatch(stem) is not None
    return known and not path.name.endswith(_REJECTED)


def _copied(source: IO[bytes], path: Path) -> Path:
    path.parent.mkdir()
    with path.open("wb") as file:
        shutil.copyfileobj(source, file)
    return path
