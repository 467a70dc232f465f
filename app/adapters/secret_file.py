"""The API keys of `API_KEYS` and of a file that is reloaded when it changes, so that keys rotate without a restart."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from app import metrics
from app.core import keys
from app.core.keys import KeyRing
from app.errors import UserError, describe

_log = structlog.get_logger(__name__)

_LOOK_EVERY_SEC: Final = 1.0
_CHECK: Final = ("keys", "file")


class KeySource:
    """`current` is cheap enough for every request. Raises `UserError` at the start when keys cannot be read."""

    def __init__(self, entries: Sequence[str], path: Path | None) -> None:
        self._entries = entries
        self._path = path
        self._stamp: tuple[int, ...] | None = None
        self._look_at = 0.0
        self._last_reason: str | None = None
        try:
            self._ring = self._read()
        except (OSError, ValueError) as error:
            raise UserError(f"The API keys cannot be read: {_where(path)}{describe(error)}") from error

    def current(self) -> KeyRing:
        """The keys, at most a second old. While the file cannot be read, the last keys stay valid."""
        if self._path is not None and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_EVERY_SEC
            self._look(self._path)
        return self._ring

    def _look(self, path: Path) -> None:
        try:
            if _stamp_of(path) == self._stamp:
                return
            self._ring = self._read()
        except (OSError, ValueError) as error:
            reason = describe(error)
            if reason != self._last_reason:
                _log.error("api_keys_kept", reason=reason, file=str(path))
            self._last_reason = reason
            if isinstance(error, OSError):
                self._stamp = None  # an unchanged file that is readable again is read too, which clears the error
            metrics.API_CHECK.labels(*_CHECK).set(0)
        else:
            self._last_reason = None
            _log.info("api_keys_read", names=sorted(self._ring.keys))
            metrics.API_CHECK.labels(*_CHECK).set(1)

    def _read(self) -> KeyRing:
        lines = list(self._entries)
        if self._path is not None:
            # Read the stamp first: the next check sees a change made between the two reads.
            self._stamp = _stamp_of(self._path)
            lines += self._path.read_text(encoding="utf-8").splitlines()
        ring = keys.parse(lines)
        if not ring.keys:
            raise ValueError("they hold no key; `reco key new` makes one")
        return ring


def _stamp_of(path: Path) -> tuple[int, ...]:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino


def _where(path: Path | None) -> str:
    return "" if path is None else f"(API_KEYS and API_KEYS_FILE={path}) "
