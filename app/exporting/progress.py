"""What an export has written so far, in a file beside what it wrote."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from app.adapters.exported_events import Mark
from app.errors import UserError
from app.exporting.files import whole_file

_NAME: Final = "_export.json"


class Run(Struct, frozen=True):
    """An export that has begun: it ends at the mark `upto`. The rows received before `reached` are in files."""

    upto: Mark
    reached: datetime | None = None


class ExportProgress(Struct, frozen=True):
    """The first `files` numbered files hold all that the mark `since` has, and what `run` says of the next."""

    files: int = 0
    since: Mark | None = None
    run: Run | None = None


def load_progress(folder: Path) -> ExportProgress:
    """Raises `UserError` for a folder that holds other files, or a damaged file of progress."""
    path = folder / _NAME
    if not path.exists():
        if found := sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(".")):
            raise UserError(
                f"{folder} holds {found[0]} and no {_NAME}, so it is not an export's: name a new or an empty folder"
            )
        return ExportProgress()
    try:
        return msgspec.json.decode(path.read_bytes(), type=ExportProgress)
    except msgspec.MsgspecError as error:
        raise UserError(
            f"{path} is damaged ({error}), so where the export stopped is not known: export to a new folder"
        ) from error


def save_progress(folder: Path, progress: ExportProgress) -> None:
    with whole_file(folder / _NAME) as out:
        out.write(msgspec.json.encode(progress) + b"\n")


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Makes the folder, and keeps a second export out of it. Raises `UserError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"{folder} cannot be used as a folder: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"another export writes to {folder}; run this one when it has ended") from error
        yield
    finally:
        os.close(descriptor)
