"""Writes rejected lines to a file beside the input, each with its reason."""

import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from app.errors import UserError
from app.importing.rows import BadRow


class RejectFile:
    """JSON lines `{"file"?, "line", "reason", "text"}`; made with the first rejected line, replaced by the next run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None
        self._of = ""

    def begin(self, path: Path) -> None:
        """The rows from here on are of this file."""
        self._of = str(path)

    def __enter__(self) -> Self:
        if self.path.is_file():  # and not a device such as /dev/null
            self.path.unlink()
        if not os.access(self.path if self.path.exists() else self.path.parent, os.W_OK):
            raise UserError(f"{self.path} cannot be written; name another file for rejected lines with --rejected FILE")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, rows: Iterable[BadRow]) -> None:
        for row in rows:
            if self._file is None:
                self._file = self.path.open("wb")
            entry = {"line": row.line, "reason": row.reason, "text": row.text}
            self._file.write(msgspec.json.encode({"file": self._of} | entry if self._of else entry) + b"\n")
