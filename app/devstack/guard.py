"""Ends the servers when the process that started them has ended, however it ended.

A child process of its own session that reads from a pipe whose other end only the parent holds: end of file means
that the parent has died, SIGKILL included. PR_SET_PDEATHSIG would do the same on Linux only, and follows the thread
that forked rather than the process.

Run as a script it imports nothing but the standard library.
"""

import os
import signal
import subprocess
import sys
import time
from typing import Final

_PATIENCE_SEC: Final = 8.0  # longer than Postgres gives its own backends (5 s) before it kills them


class Guard:
    """The parent's side of the pipe. Closing it does not end servers that were forgotten before."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def watch(self, pid: int, end_signal: signal.Signals) -> None:
        self._tell(f"watch {pid} {int(end_signal)}\n")

    def forget(self, pid: int) -> None:
        self._tell(f"forget {pid}\n")

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _tell(self, line: str) -> None:
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("the guard is not running")
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    watched: dict[int, int] = {}
    for line in sys.stdin.buffer:
        action, pid, *end_signal = line.split()
        if action == b"watch":
            watched[int(pid)] = int(end_signal[0])
        else:
            watched.pop(int(pid), None)
    # A stopped process takes its signal only after SIGCONT.
    for pid, number in watched.items():
        _send(pid, number)
        _send(pid, signal.SIGCONT)
    deadline = time.monotonic() + _PATIENCE_SEC
    while any(_send(pid, 0) for pid in watched) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in watched:
        _send(pid, signal.SIGKILL)


def _send(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
