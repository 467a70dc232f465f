"""One server as a child process: started, awaited until it answers, stopped, killed, frozen, started again."""

import os
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from app.devstack import processes
from app.devstack.folder import Folder
from app.devstack.guard import Guard
from app.errors import UserError

_START_TIMEOUT_SEC: Final = 60.0
_STOP_TIMEOUT_SEC: Final = 20.0
_POLL_SEC: Final = 0.03
_SHOWN_LOG_LINES: Final = 15


class Server(ABC):
    """The port and the data stay the same from one start to the next.

    Every method blocks; from a coroutine call it through `asyncio.to_thread`.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    orphan_signal: ClassVar[signal.Signals] = signal.SIGKILL  # ends the server when our process has died

    def __init__(self, folder: Folder, guard: Guard) -> None:
        self.folder = folder
        self.log_file = folder.log_file(self.name)
        self._guard = guard
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._given_up = threading.Event()

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients reach it, in the form of the server's setting."""

    @abstractmethod
    def _prepare(self) -> None:
        """Creates a missing data folder, and writes the configuration for this start."""

    @abstractmethod
    def _command(self) -> Sequence[str]: ...

    @abstractmethod
    def _answers(self) -> bool:
        """True when a client would be served."""

    def _account(self) -> processes.Account | None:
        """The account it runs under; None for our own."""
        return None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def running(self) -> bool:
        return self.pid is not None

    def start(self) -> None:
        """Returns when it answers. Raises `UserError` with the end of its log when it does not."""
        if self.running:
            return
        self._reap()
        self._prepare()
        self._spawn()
        self._await_answer()

    def stop(self) -> None:
        """Asks it to end, waits for it, and kills it only when it does not."""
        if (pid := self.pid) is None:
            self._reap()
            return
        self.resume()
        os.kill(pid, self.stop_signal)
        try:
            self._require().wait(_STOP_TIMEOUT_SEC)
        except subprocess.TimeoutExpired:
            self.kill()
        self._reap()

    def kill(self) -> None:
        """SIGKILL to it and to all its children, and waits until the last of them is gone."""
        if (pid := self.pid) is not None:
            family = processes.family(pid)
            processes.signal_all(family, signal.SIGKILL)
            self._require().wait()
            processes.await_end(family)
        self._reap()

    def pause(self) -> None:
        """SIGSTOP to it and its children: connections stay open and nobody answers."""
        if (pid := self.pid) is not None:
            # The parent first, so that it cannot start another child meanwhile.
            processes.signal_all(processes.family(pid)[:1], signal.SIGSTOP)
            processes.signal_all(processes.family(pid)[1:], signal.SIGSTOP)

    def resume(self) -> None:
        if (pid := self.pid) is not None:
            processes.signal_all(processes.family(pid), signal.SIGCONT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def restore(self) -> None:
        """Makes it answer again, after a kill, a stop or a freeze."""
        self.resume()
        self.start()
        self._await_answer()

    def give_up(self) -> None:
        """Makes a `start` that waits in another thread raise soon."""
        self._given_up.set()

    def log_tail(self) -> str:
        """The last lines it has written since its last start."""
        with self.log_file.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_SHOWN_LOG_LINES:])

    def _spawn(self) -> None:
        account = self._account()
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            try:
                self._process = subprocess.Popen(
                    list(self._command()),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    # Only the app gets Ctrl-C: it drains while its servers still run.
                    start_new_session=True,
                    user=account.uid if account else None,
                    group=account.gid if account else None,
                    extra_groups=[] if account else None,
                )
            except OSError as error:
                raise UserError(f"{self.name} could not be run: {error}") from error
        self._guard.watch(self._process.pid, self.orphan_signal)
        self.folder.remember_process(self.name, self._process.pid)

    def _await_answer(self) -> None:
        process = self._require()
        deadline = time.monotonic() + _START_TIMEOUT_SEC
        while not self._answers():
            if process.poll() is not None:
                raise self._failed(f"{self.name} ended with exit code {process.returncode} while it started")
            if self._given_up.is_set():
                raise self._failed(f"{self.name} was told to stop while it started")
            if time.monotonic() > deadline:
                self.kill()
                raise self._failed(f"{self.name} did not answer within {_START_TIMEOUT_SEC:.0f} s")
            time.sleep(_POLL_SEC)

    def _failed(self, what: str) -> UserError:
        return UserError(f"{what}. The end of {self.log_file}:\n{self.log_tail()}")

    def _require(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process

    def _reap(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            self._guard.forget(self._process.pid)
            self.folder.forget_process(self.name)
            self._process = None


def run_to_end(command: Sequence[str], log_file: Path, what: str, account: processes.Account | None = None) -> None:
    """Runs a helper of a server, such as initdb, with its output in the log. Raises `UserError` when it fails."""
    try:
        result = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            timeout=_START_TIMEOUT_SEC,
            check=False,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{what} did not end in {_START_TIMEOUT_SEC:g} s. If the machine is busy, try again."
        ) from error
    except OSError as error:
        raise UserError(f"{what} failed: {error}") from error
    with log_file.open("ab") as log:
        log.write(result.stdout)
    if result.returncode != 0:
        lines = result.stdout.decode(errors="replace").splitlines()[-_SHOWN_LOG_LINES:]
        raise UserError(f"{what} failed. The end of {log_file}:\n" + "\n".join(lines))
