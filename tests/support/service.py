"""The service as a real process, and patience with a deadline."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from tests.support.forked import MARKING, Forked
from tests.support.marks import ROOT

_READY_SEC: Final = 40.0
_POLL_SEC: Final = 0.05

# Set by scripts/service-coverage: the processes mark the functions that they enter.
_MARKING: Final = ("tests.support.marked_process",) if MARKING else ()

T = TypeVar("T")


class Service:
    """`python -m app` with the given environment. Its log is kept for the message of a failed test.

    `root` is the checkout whose code runs, `module` what runs in place of `app`. The process is forked from one that
    has imported the service, unless the interpreter itself has to start: for another checkout, or with PYTHONPATH.
    """

    def __init__(self, environment: Mapping[str, str], root: Path = ROOT, module: Sequence[str] = ("app",)) -> None:
        self.environment = dict(environment)
        self.url = f"http://127.0.0.1:{environment['HTTP_PORT']}"
        # Without `verify=False` each client reads the certificates of all authorities.
        self.client = httpx.Client(base_url=self.url, timeout=15.0, verify=False)
        self._log = tempfile.NamedTemporaryFile("r")  # noqa: SIM115 - closed in `close`
        self.process = self._start(root, module)

    def _start(self, root: Path, module: Sequence[str]) -> "Forked | subprocess.Popen[bytes]":
        environment = {"PATH": os.environ["PATH"], **self.environment}
        if root == ROOT and "PYTHONPATH" not in environment:
            return Forked(module, environment, root, self._log.name)
        with open(self._log.name, "ab") as log:
            return subprocess.Popen(
                command(*module) if root == ROOT else [sys.executable, "-m", *module],
                cwd=root,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_ready(self) -> "Service":
        """Waits until this very process is ready: another one may answer on the same port."""
        eventually(self._is_ready, _READY_SEC, self.describe)
        return self

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the process ended with {self.process.returncode}\n{self.log()}")
        try:
            # A new connection, which any process may get.
            answer = httpx.get(f"{self.url}/readyz", timeout=15.0, verify=False)
        except httpx.TransportError:
            return False
        # A release before 0.2.0, which the rollback test runs, does not name its process.
        process = answer.json().get("process", {"pid": self.process.pid})
        return answer.status_code == 200 and process["pid"] == self.process.pid

    def status(self, path: str) -> int | None:
        """The status of a GET; None while nobody answers."""
        if self.process.poll() is not None:
            raise AssertionError(f"the process ended with {self.process.returncode}\n{self.log()}")
        try:
            return self.client.get(path).status_code
        except httpx.TransportError:
            return None

    def readiness(self) -> dict[str, Any]:
        report: dict[str, Any] = self.client.get("/readyz").json()
        return report

    def reads_all(self) -> bool:
        """Whether its two consumers have all partitions, of three topics with two each. A process that was killed holds
        some for 10 s, and the group is divided anew when the second one joins.
        """
        tasks = self.readiness()["tasks"]
        members = ("feature-consumer", "feature-consumer-2")
        return all(tasks[name]["detail"] == "reads 3 partitions" for name in members)

    def metric(self, name: str, **labels: str) -> float:
        """The value of a series of `/metrics`; 0 when it is not there yet."""
        for line in self.client.get("/metrics").text.splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and all(f'{key}="{text}"' in series for key, text in labels.items()):
                return float(value)
        return 0.0

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def freeze(self) -> None:
        """SIGSTOP: its connections stay open, and it does nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=30)

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def describe(self) -> str:
        return f"readyz: {self.client.get('/readyz').text if self.process.poll() is None else None}\n{self.log()}"

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()
        self.client.close()
        self._log.close()


def command(*module: str) -> list[str]:
    """Runs the module, with its arguments, in a process of its own; from the root of the checkout."""
    return [sys.executable, "-m", *_MARKING, *module]


@contextmanager
def running(environment: Mapping[str, str], root: Path = ROOT, module: Sequence[str] = ("app",)) -> Iterator[Service]:
    """A service that is ready, and gone afterwards."""
    service = Service(environment, root, module)
    try:
        yield service.wait_ready()
    finally:
        service.close()


def eventually(
    check: Callable[[], T], within_sec: float = 30.0, describe: Callable[[], object] = lambda: "no more is known"
) -> T:
    """What `check` returns as soon as it is true; fails when the deadline passes. A condition, not a duration. Kafka
    gives the partitions of a consumer that was killed to another only after its session of 10 s.
    """
    deadline = time.monotonic() + within_sec
    while True:
        if result := check():
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"still not so after {within_sec:g} s: {describe()}")
        time.sleep(_POLL_SEC)
