"""`reco[spark]` in a virtual environment of its own: pyspark is too large for the one that all tests run in."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

import pytest

from tests.support.service import ROOT

_LOCK: Final = ROOT / "requirements-spark.lock"
_FOLDER: Final = ROOT / ".reco" / "spark"
# What uv says when it cannot reach the registry.
_UNREACHABLE: Final = re.compile("dns error|error sending request|Could not connect|Network is unreachable|timed out")


def spark_python() -> Path:
    """Its Python. Made on first use, from the lock file; skips the test where the registry cannot be reached."""
    made_from = hashlib.sha256(f"{_LOCK.read_text()}\n{sys.version}\n{ROOT}".encode()).hexdigest()[:16]
    home = _FOLDER / made_from
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with (_FOLDER / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not (home / "whole").exists():
            for other in _FOLDER.glob("*/whole"):
                shutil.rmtree(other.parent)
            venv.create(home, symlinks=True, clear=True)
            python = home / "bin" / "python"
            wheels = home / "wheels"
            build = ["-m", "hatchling", "build", "-t", "wheel:editable", "-d", str(wheels)]
            subprocess.run([sys.executable, *build], cwd=ROOT, check=True, capture_output=True)
            _install(python, "--require-hashes", "--requirements", str(_LOCK))
            _install(python, "--no-deps", *map(str, wheels.glob("*.whl")))
            (home / "whole").touch()
    return home / "bin" / "python"


def _install(python: Path, *arguments: str) -> None:
    installed = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", "--python", str(python), *arguments],
        env={name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")},
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode and _UNREACHABLE.search(installed.stderr):
        pytest.skip(f"pyspark cannot be fetched: {installed.stderr.strip().splitlines()[-1]}")
    assert installed.returncode == 0, installed.stderr
