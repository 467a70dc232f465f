"""A real Chromium, driven over its DevTools protocol through a pair of pipes: no port, and no package."""

import itertools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

PROGRAM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# In Chromium these two are where it reads commands and writes answers.
_READS, _WRITES = 3, 4
_FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
    "--window-size=800,600",
)


class PageError(Exception):
    """A command failed, or the page's script threw."""


class Chromium:
    """One browser with a profile of its own."""

    def __init__(self, profile: Path) -> None:
        assert PROGRAM is not None
        commands, to_browser = os.pipe()
        from_browser, answers = os.pipe()
        # A shell gives the pipes their numbers: a child's descriptors cannot be chosen from here.
        script = f'exec "$0" "$@" {_READS}<&{commands} {_WRITES}>&{answers}'
        arguments = [*_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", script, PROGRAM, *arguments],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(commands)
        os.close(answers)
        self._to = os.fdopen(to_browser, "wb", buffering=0)
        self._from = os.fdopen(from_browser, "rb")
        self._numbers = itertools.count(1)

    def open(self, url: str) -> "Tab":
        target = self.call("Target.createTarget", url=url)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Tab(self, target, session)

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """The result of one command; events of the browser are passed over."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        self._to.write(json.dumps(command).encode() + b"\0")
        while True:
            answer = json.loads(self._message())
            if answer.get("id") != number:
                continue
            if "error" in answer:
                raise PageError(f"{method}: {answer['error']}")
            result: dict[str, Any] = answer["result"]
            return result

    def close(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=30)
        self._to.close()
        self._from.close()

    def _message(self) -> bytes:
        found = bytearray()
        while (byte := self._from.read(1)) != b"\0":
            if not byte:
                raise PageError(f"Chromium ended with {self.process.poll()}")
            found += byte
        return bytes(found)


class Tab:
    """One page."""

    def __init__(self, browser: Chromium, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session

    def run(self, script: str) -> Any:
        """The value of an expression; a promise is awaited."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise PageError(result["exceptionDetails"].get("exception", {}).get("description", result))
        return result["result"].get("value")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **params)

    def set_offline(self, *, offline: bool) -> None:
        self.call("Network.enable")
        self.call(
            "Network.emulateNetworkConditions", offline=offline, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )

    def close(self) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)


@contextmanager
def chromium(profile: Path) -> Iterator[Chromium]:
    browser = Chromium(profile)
    try:
        yield browser
    finally:
        browser.close()
