"""The processes of the service under a soak."""

import signal
from collections.abc import Mapping
from pathlib import Path

from tests.support.forked import Forked
from tests.support.service import ROOT


class Worker:
    """One place of the fleet: a process, and the next one when that was killed."""

    def __init__(self, name: str, environment: Mapping[str, str], log_file: Path) -> None:
        self.name = name
        self.starts = 0
        self._environment = dict(environment)
        self._log_file = log_file
        self._process: Forked | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it unless it runs."""
        if not self.alive:
            self._process = Forked(["app"], self._environment, ROOT, str(self._log_file))
            self.starts += 1

    def kill(self) -> bool:
        """SIGKILL, and its end awaited. False when it was not running, and nothing was killed."""
        if self._process is None or not self.alive:
            return False
        self._process.kill()
        return True

    def freeze(self) -> bool:
        return self._signal(signal.SIGSTOP)

    def thaw(self) -> bool:
        return self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> bool:
        if self._process is None or not self.alive:
            return False
        self._process.send_signal(number)
        return True
