"""Processes of the service that are forked from one that has imported everything: a start does no imports of its own.

Each is a process as `python -m app` makes it, and can be killed and frozen at any time.
"""

import contextlib
import ctypes
import multiprocessing
import os
import resource
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import wait
from pathlib import Path
from typing import Final

# For the fork server, which imports this module: what a service imports, also where it does so as it starts.
import app.main
import app.roles.api
import app.roles.consumer  # noqa: F401

_context: Final = multiprocessing.get_context("forkserver")
MARKING: Final = "RECO_MARK_ENTERED" in os.environ
# The last one is imported by Litestar if it can be.
_IMPORTED: Final = [__name__, "litestar.plugins.pydantic"]
_context.set_forkserver_preload(["tests.support.marked_process", *_IMPORTED] if MARKING else _IMPORTED)
_PR_SET_PDEATHSIG: Final = 1
_KILLED_WITHIN_SEC: Final = 30.0


def begin() -> None:
    """Starts the process that others are forked from, unless it runs. This process has one for all its uses, and it
    imports what was named before its start: before a rebuild in this process names other modules.
    """
    forkserver.ensure_running()


class Forked:
    """`python -m MODULE ARGUMENTS`, with the part of `subprocess.Popen` that a test needs.

    Output goes to the end of the file `log`. The process does not outlive the tests.
    """

    def __init__(self, module: Sequence[str], environment: Mapping[str, str], root: Path, log: str) -> None:
        # The one that forks may have been started under another limit of open files.
        files = resource.getrlimit(resource.RLIMIT_NOFILE)
        arguments = (tuple(module), dict(environment), str(root), log, files)
        self._process = _context.Process(target=_run, args=arguments, daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid: Final = self._process.pid
        self._asking = threading.Lock()  # the exit code can be read once

    @property
    def returncode(self) -> int | None:
        """The exit code as of now; a signal's number below 0. None while it runs."""
        return self.poll()

    def poll(self) -> int | None:
        with self._asking:
            return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Raises `subprocess.TimeoutExpired`."""
        wait([self._process.sentinel], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Does nothing when the process has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and its end awaited."""
        self.send_signal(signal.SIGKILL)
        self.wait(_KILLED_WITHIN_SEC)


def _run(module: tuple[str, ...], environment: dict[str, str], root: str, log: str, files: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, files)
    if sys.platform == "linux":
        # The tests themselves may be killed; their processes do not outlive the one that forked them.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.chdir(root)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv[1:] = module[1:]
    runpy.run_module(module[0], run_name="__main__", alter_sys=True)
