"""The jars of Apache Kafka, fetched once into a cache that all checkouts of this account share."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

KAFKA_VERSION: Final = "4.1.0"
# Kafka logs through slf4j 1.7 and brings no backend for it; without one a failed start would log nothing.
_COORDINATES: Final = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
_ABOUT_BYTES: Final = 44_500_000
_TIMEOUT_SEC: Final = 600.0
_LIST: Final = "jars.txt"


class Unavailable(Exception):
    """The jars are not in the cache and cannot be fetched."""


def class_path(cache: Path) -> str:
    """The class path of the Kafka server. Fetches missing jars; raises `Unavailable`."""
    home = cache / f"kafka-{KAFKA_VERSION}"
    if not _complete(home):
        with _one_at_a_time(cache):
            if not _complete(home):
                _fetch(cache, home)
    return os.pathsep.join(str(home / name) for name in _names(home))


def cache_folder(environ: Mapping[str, str], fallback: Path) -> Path:
    """XDG_CACHE_HOME/reco or ~/.cache/reco; `fallback` when neither can be written."""
    candidates = []
    if (xdg := Path(environ.get("XDG_CACHE_HOME", ""))).is_absolute():
        candidates.append(xdg / "reco")
    elif (home := Path(environ.get("HOME", ""))).is_absolute():
        candidates.append(home / ".cache" / "reco")
    for candidate in candidates:
        with suppress(OSError):
            candidate.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=candidate):
                return candidate
    fallback.mkdir(parents=True, exist_ok=True)
    return fallback


def _names(home: Path) -> list[str]:
    """The class path from the cache, with sizes checked: cache cleaners remove single files."""
    entries = [line.rpartition(" ") for line in (home / _LIST).read_text().splitlines()]
    for name, _, size in entries:
        if (home / name).stat().st_size != int(size):
            raise ValueError(f"{name} is not whole")
    return [name for name, _, _ in entries]


def _complete(home: Path) -> bool:
    try:
        return bool(_names(home))
    except (OSError, ValueError):
        return False


def _fetch(cache: Path, home: Path) -> None:
    staged = Path(tempfile.mkdtemp(prefix="fetch-", dir=cache))
    try:
        jars = _resolve(staged)
        whole = staged / "whole"
        whole.mkdir()
        for jar in jars:
            shutil.copy(jar, whole / jar.name)
        sizes = [f"{path.name} {path.stat().st_size}" for path in sorted(whole.iterdir())]
        (whole / _LIST).write_text("\n".join(sizes) + "\n")
        if home.exists():
            shutil.rmtree(home)
        whole.rename(home)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _resolve(work: Path) -> list[Path]:
    command = [sys.executable, "-m", "jgo", "--resolver", "python", "--class-path-only"]
    command += ["--cache-dir", str(work / "jgo"), "--repo-cache", str(work / "maven"), "info", "jars", _COORDINATES]
    # jgo reads its configuration from the home folder, and fails if it cannot enter that folder.
    home = os.environ.get("HOME", "")
    environ = {**os.environ, "HOME": home if os.path.isabs(home) and os.access(home, os.R_OK | os.X_OK) else str(work)}
    with (work / "out").open("wb") as out, (work / "err").open("wb") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environ, cwd=work)
        try:
            _await_with_progress(process, work)
        finally:
            process.kill()
            process.wait()
    jars = [Path(line.strip()) for line in (work / "out").read_text().splitlines() if line.strip().endswith(".jar")]
    if process.returncode != 0 or not jars or not all(jar.is_file() for jar in jars):
        reason = (work / "err").read_text(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise Unavailable(f"the jars of Apache Kafka {KAFKA_VERSION} could not be fetched: {reason[0]}")
    return jars


def _await_with_progress(process: "subprocess.Popen[bytes]", work: Path) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    deadline = time.monotonic() + _TIMEOUT_SEC
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(f"Fetching Apache Kafka {KAFKA_VERSION} (once)", total=_ABOUT_BYTES)
        while process.poll() is None and time.monotonic() < deadline:
            progress.update(bar, completed=min(_ABOUT_BYTES, _bytes_under(work)))
            time.sleep(0.1)
        if process.poll() == 0:
            progress.update(bar, completed=_ABOUT_BYTES)


def _bytes_under(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*.jar"):
        with suppress(OSError):
            found = path.stat()
            total += found.st_size // found.st_nlink  # jgo links a jar to a second place
    return total


@contextmanager
def _one_at_a_time(cache: Path) -> Iterator[None]:
    with (cache / "fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
