"""The processes of the service, started by forking from one that has imported everything: a start takes milliseconds.

Each is a process of its own that runs `app.main.run`, as `python -m app` does, and can be killed at any time.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

from app.main import run
from app.settings import Settings

_context: Final = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])
_JOIN_SEC: Final = 30.0
_PR_SET_PDEATHSIG: Final = 1


class Worker:
    """One place of the fleet: a process, and the next one when that was killed."""

    def __init__(self, name: str, environment: Mapping[str, str], log_file: Path) -> None:
        self.name = name
        self.starts = 0
        self._environment = dict(environment)
        self._log_file = log_file
        self._process: ForkServerProcess | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.is_alive()

    def start(self) -> None:
        """Starts it unless it runs."""
        if not self.alive:
            self._process = _context.Process(target=_serve, args=(self._environment, str(self._log_file)))
            self._process.start()
            self.starts += 1

    def kill(self) -> bool:
        """SIGKILL, and its end awaited. False when it was not running, and nothing was killed."""
        if self._process is None or not self._process.is_alive():
            return False
        self._process.kill()
        self._process.join(_JOIN_SEC)
        return True

    def freeze(self) -> bool:
        return self._signal(signal.SIGSTOP)

    def thaw(self) -> bool:
        return self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> bool:
        if self._process is None or self._process.pid is None or not self._process.is_alive():
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)
        return True


def _serve(environment: Mapping[str, str], log_file: str) -> None:
    if sys.platform == "linux":
        # The soak itself may be killed; its processes do not outlive the one that forked them.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(run(Settings.from_env(environment)))
