"""The data folder of one stack: its lock, its ports and passwords, the ids of its running servers, its logs."""

import fcntl
import json
import os
import secrets
import shutil
import signal
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from app.devstack import ports, processes
from app.errors import UserError

_OWN_NAMES: Final = ("postgres", "redis", "kafka", "logs", "run", "state.json")
_THROWAWAY_PREFIX: Final = "throwaway-"
_LOG_BYTES: Final = 10_000_000


class Folder:
    """One process uses it at a time: `open` raises when another process holds it."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._lock: int | None = None
        self._state: dict[str, Any] = {}

    def open(self) -> None:
        """Raises `UserError` when another process uses the folder, or it cannot be written."""
        try:
            for name in ("", "logs", "run"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise UserError(
                f"The data folder {self.root} cannot be used ({error}); set RECO_DATA_DIR to another folder"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(self._lock, 100, 0).decode(errors="replace").strip() or "unknown"
            self.close()
            raise UserError(
                f"Another copy (process {owner}) is using the data folder {self.root}. "
                "Stop it, or give this copy its own folder: RECO_DATA_DIR=/some/folder"
            ) from error
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        self._end_leftovers()
        self._turn_logs()
        self._load()

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def empty(self) -> None:
        """Removes the servers' data, and nothing else: the user may have chosen a folder that holds other files."""
        self._remove_contents()
        for name in ("logs", "run"):
            (self.root / name).mkdir(exist_ok=True)
        self._load()

    def remove(self) -> None:
        """Removes the folder and releases the lock."""
        self._remove_contents()
        shutil.rmtree(self.root, ignore_errors=True)
        self.close()

    @property
    def password(self) -> str:
        """The password of the servers: every account of the machine can connect to loopback."""
        return str(self._state["password"])

    def port(self, name: str) -> int:
        """The server's port: the same at every start, unless another program uses it at the first request."""
        known: dict[str, int] = self._state["ports"]
        if name not in self._checked_ports:
            others = {port for other, port in known.items() if other != name}
            if name not in known or known[name] in others or not ports.reserve(known[name]):
                known[name] = ports.choose(taken=others)
                self._save()
            self._checked_ports.add(name)
        return known[name]

    def outside(self, *, lasting: bool) -> Path:
        """A folder that every account can enter, for files that the server's account cannot reach in this one.

        Not for a durable database: systems remove old files from /var/tmp one by one.
        """
        if known := self._state.get("outside"):
            path = Path(known)
            with suppress(OSError):
                found = path.lstat()
                if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                    return path
        place = "/var/lib" if lasting else "/var/tmp"  # noqa: S108 - mkdtemp draws the name inside
        path = Path(tempfile.mkdtemp(prefix="reco-", dir=place if os.access(place, os.W_OK) else None))
        path.chmod(0o755)
        self._state["outside"] = str(path)
        self._save()
        return path

    def log_file(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    def remember_process(self, name: str, pid: int) -> None:
        if (identity := processes.identify(pid)) is not None:
            _write(self.root / "run" / name, json.dumps(identity))

    def forget_process(self, name: str) -> None:
        (self.root / "run" / name).unlink(missing_ok=True)

    def _end_leftovers(self) -> None:
        """Ends servers whose owner has died or is dying."""
        for path in (self.root / "run").iterdir():
            with suppress(ValueError, TypeError):
                identity = processes.Identity(*json.loads(path.read_text()))
                processes.end(identity, signal.SIGQUIT if path.name == "postgres" else signal.SIGKILL)
            path.unlink(missing_ok=True)

    def _turn_logs(self) -> None:
        for path in (self.root / "logs").glob("*.log"):
            if path.stat().st_size > _LOG_BYTES:
                path.replace(path.with_suffix(".log.old"))

    def _remove_contents(self) -> None:
        if outside := self._state.get("outside"):
            shutil.rmtree(outside, ignore_errors=True)
        for name in _OWN_NAMES:
            path = self.root / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _load(self) -> None:
        self._checked_ports: set[str] = set()
        try:
            self._state = json.loads((self.root / "state.json").read_text())
            complete = self._state.keys() >= {"password", "ports"}
        except (OSError, ValueError, AttributeError):
            complete = False
        if not complete:
            self._state = {"password": secrets.token_urlsafe(18), "ports": {}}
            self._save()

    def _save(self) -> None:
        _write(self.root / "state.json", json.dumps(self._state))


def throwaway(parent: Path) -> Folder:
    """A new folder under `parent`; those whose owners died before they could remove them are removed first."""
    parent.mkdir(parents=True, exist_ok=True)
    for path in parent.glob(f"{_THROWAWAY_PREFIX}*"):
        # The owner writes the state once it holds the lock: a folder without it is being created.
        if (path / "state.json").exists():
            left = Folder(path)
            with suppress(UserError):
                left.open()
                left.remove()
    path = Path(tempfile.mkdtemp(prefix=_THROWAWAY_PREFIX, dir=parent))
    path.chmod(0o755)  # Postgres may run under another account inside
    return Folder(path)


def _write(path: Path, text: str) -> None:
    """Replaces the file in one step, readable by its owner only."""
    staged = path.with_name(f".{path.name}.new")
    staged.touch(mode=0o600)
    staged.write_text(text)
    staged.replace(path)
