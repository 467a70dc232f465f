"""The second half of bootstrap.sh: `.venv` in the checkout, with the locked packages and the project itself.

What is installed is stamped with a hash of what it was made from, so that the next run has nothing to do. Two runs at
once take turns. Standard library only.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "reco-stamp"
LOCK = ROOT / "requirements-dev.lock"
SHOWN_LINES = 25


def main() -> None:
    if is_ready():
        return
    with one_at_a_time():
        if is_ready():
            return
        started = time.monotonic()
        if not is_healthy():
            say(f"Making .venv with Python {sys.version.split()[0]}")
            shutil.rmtree(VENV, ignore_errors=True)
            make_venv()
        count = sum(line[:1].isalnum() for line in LOCK.read_text().splitlines())
        pip(f"Installing {count} packages, a minute or two", "--require-hashes", "-r", str(LOCK))
        pip("Installing the project", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
        # They are compiled when they are imported; else the first process would wait for it.
        subprocess.run(
            [PYTHON, "-c", "import app.core.accumulators, app.core.pairing, app.core.vsknn"], cwd=ROOT, check=True
        )
        STAMP.write_text(wanted())
        say(f"Ready after {time.monotonic() - started:.0f} s; the next start has nothing to install")


def make_venv() -> None:
    try:
        venv.create(VENV, with_pip=True, symlinks=True)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{(error.output or b'').decode(errors='replace')}\nMaking {VENV} failed; another Python: PYTHON=...")


def is_ready() -> bool:
    try:
        return STAMP.read_text() == wanted() and is_healthy()
    except OSError:
        return False


def wanted() -> str:
    made_from = hashlib.sha256()
    for path in (LOCK, ROOT / "pyproject.toml"):
        made_from.update(path.read_bytes())
    # The scripts in .venv/bin name the checkout's path.
    return f"{made_from.hexdigest()}\n{ROOT}\n"


def is_healthy() -> bool:
    """Its Python runs, is recent enough, has pip, and knows itself to be at this path."""
    probe = "import sys, pip; print(sys.version_info >= (3, 11), sys.version_info[:2], sys.prefix, sep='\\n')"
    try:
        shown = subprocess.run([PYTHON, "-I", "-c", probe], capture_output=True, text=True, check=True).stdout
        recent, version, prefix = shown.rstrip("\n").split("\n")
        right_place = os.path.samefile(prefix, VENV)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return False
    # A Python that was asked for by name is meant; else one that works is good enough.
    right_version = not os.environ.get("PYTHON") or version == str(sys.version_info[:2])
    return recent == "True" and right_place and right_version and script_is_ours()


def script_is_ours() -> bool:
    """False for a checkout that was moved or copied: the programs in .venv/bin still name the other place."""
    try:
        return str(VENV) in (VENV / "bin" / "pip").read_text()[:1000]
    except OSError:
        return False


def pip(what: str, *arguments: str) -> None:
    command = [str(PYTHON), "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *arguments]
    elsewhere = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX")
    environ = {name: value for name, value in os.environ.items() if name not in elsewhere}
    lines: list[str] = []
    say(what)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environ, cwd=ROOT
    ) as process:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            if line.startswith("Collecting "):
                show_progress(line.split()[1])
        clear_progress()
    if process.returncode != 0:
        end = "\n".join(lines[-SHOWN_LINES:])
        sys.exit(f"{end}\n\n{what} failed; see the reason above. Correct it and run the same command again.")


def show_progress(name: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K  {name}", end="", file=sys.stderr, flush=True)


def clear_progress() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    folder = ROOT / ".reco"
    folder.mkdir(exist_ok=True)
    with (folder / "bootstrap.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another run is installing in this checkout; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        main()
    except PermissionError as error:
        sys.exit(f"{error}. The checkout belongs to another account, or was set up by one: use a clone of your own")
    except KeyboardInterrupt:
        sys.exit(130)
