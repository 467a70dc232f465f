"""npm, for the tests that need it; they are skipped where it or its registry cannot be had."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

_OPTIONS: Final = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--fetch-retries=0")
# What npm says when it cannot reach its registry.
_UNREACHABLE: Final = re.compile("ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED")


def npm(folder: Path, *arguments: str) -> str:
    """Runs it in the folder; returns what it says."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed (Debian: apt install nodejs npm)")
    ended = subprocess.run(["npm", *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    said = ended.stdout + ended.stderr
    if ended.returncode and _UNREACHABLE.search(said):
        pytest.skip(f"npm cannot reach its registry: {said.strip().splitlines()[0]}")
    assert ended.returncode == 0, said
    return said


def npm_install(folder: Path, *packages: str) -> None:
    """Installs these into the folder; without any, those of its lock file."""
    command = ("install", "--prefix", str(folder), *packages) if packages else ("ci",)
    npm(folder, *command, *_OPTIONS)
