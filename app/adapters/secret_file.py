"""Secrets of a setting and of a file that is read again when it changes, so that they rotate without a restart."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

import structlog

from app import metrics
from app.errors import UserError, describe

V = TypeVar("V")

_log = structlog.get_logger(__name__)

_LOOK_EVERY_SEC: Final = 1.0


class SecretFile(Generic[V]):
    """`current` is cheap enough for every request. Raises `UserError` at the start when they cannot be read."""

    def __init__(
        self,
        parse: Callable[[Sequence[str]], V],
        entries: Sequence[str],
        path: Path | None,
        *,
        setting: str,
        check: str,
    ) -> None:
        """`parse` raises `ValueError` for entries and lines that it cannot take. `setting`: of the entries; that of the
        file is `setting` with `_FILE`. `check`: under which the metric says whether the file can be read.
        """
        self._parse = parse
        self._entries = entries
        self._path = path
        self._setting = setting
        self._check = check
        self._stamp: tuple[int, ...] | None = None
        self._look_at = 0.0
        self._last_reason: str | None = None
        try:
            self._value = self._read()
        except (OSError, ValueError) as error:
            where = setting if path is None else f"{setting} and {setting}_FILE={path}"
            raise UserError(f"{where} cannot be read: {describe(error)}") from error

    def current(self) -> V:
        """What they say, at most a second old. While the file cannot be read, what it said last stays valid."""
        if self._path is not None and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_EVERY_SEC
            self._look(self._path)
        return self._value

    def _look(self, path: Path) -> None:
        told = {"setting": f"{self._setting}_FILE", "file": str(path)}
        healthy = metrics.API_CHECK.labels("keys", self._check)
        try:
            if _stamp_of(path) == self._stamp:
                return
            self._value = self._read()
        except (OSError, ValueError) as error:
            reason = describe(error)
            if reason != self._last_reason:
                _log.error("secrets_kept", reason=reason, **told)
            self._last_reason = reason
            if isinstance(error, OSError):
                self._stamp = None  # an unchanged file that is readable again is read too, which clears the error
            healthy.set(0)
        else:
            self._last_reason = None
            _log.info("secrets_read", **told)
            healthy.set(1)

    def _read(self) -> V:
        lines = list(self._entries)
        if self._path is not None:
            # Read the stamp first: the next check sees a change made between the two reads.
            self._stamp = _stamp_of(self._path)
            lines += self._path.read_text(encoding="utf-8").splitlines()
        return self._parse(lines)


def _stamp_of(path: Path) -> tuple[int, ...]:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino
