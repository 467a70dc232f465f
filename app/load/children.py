"""Runs Python modules as child processes: waits until they serve, and ends them with their parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from app.devstack.guard import Guard
from app.errors import UserError
from app.load import scrape
from app.load.requests import Endpoint

_START_TIMEOUT_SEC: Final = 30.0
_STOP_TIMEOUT_SEC: Final = 20.0
_SHOWN_LOG_LINES: Final = 15


class Child:
    """`python -m module` that serves HTTP on a port of loopback, its output in a log file.

    It has a session of its own, so that Ctrl-C reaches only the command, which then ends it in order.
    """

    def __init__(self, name: str, module: list[str], environ: Mapping[str, str], log_file: Path, guard: Guard) -> None:
        self.name = name
        self.endpoint = Endpoint("127.0.0.1", int(environ["HTTP_PORT"]))
        self._log_file = log_file
        self._guard = guard
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *module],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                start_new_session=True,
            )
        guard.watch(self.pid, signal.SIGTERM)

    @property
    def pid(self) -> int:
        return self._process.pid

    def require_running(self) -> None:
        """Raises `UserError` with the end of the log when the process has ended by itself."""
        if (code := self._process.poll()) is not None:
            raise UserError(f"{self.name} ended with exit code {code}.\n{self.log_tail()}")

    def await_ready(self, path: str) -> None:
        """Returns when GET `path` answers 200. Raises `UserError` with the end of the log when it does not."""
        deadline = time.monotonic() + _START_TIMEOUT_SEC
        seen = "nothing answers"
        while time.monotonic() < deadline:
            self.require_running()
            try:
                status, seen = scrape.get(self.endpoint, path, timeout_sec=1.0)
            except OSError as error:
                seen = str(error)
            else:
                if status == 200:
                    return
            time.sleep(0.05)
        raise UserError(f"{self.name} was not ready in {_START_TIMEOUT_SEC:g} s: {seen[:1000]}\n{self.log_tail()}")

    def stop(self) -> int:
        """SIGTERM, and SIGKILL when that does not help; returns the exit code."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_TIMEOUT_SEC)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._guard.forget(self.pid)
        return self._process.returncode

    def log_tail(self) -> str:
        lines = self._log_file.read_text(errors="replace").splitlines()
        return f"The end of its log:\n{os.linesep.join(lines[-_SHOWN_LOG_LINES:])}"
