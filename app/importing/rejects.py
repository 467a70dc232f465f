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
    """JSON lines `{"line", "reason", "text"}`; created with the first rejected line, replaced by the next run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

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
            self._file.write(msgspec.json.encode({"line": row.line, "reason": row.reason, "text": row.text}) + b"\n")
