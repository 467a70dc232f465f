"""Packages of npm for tests that run them."""

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

_OPTIONS: Final = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--fetch-retries=0")
# What npm says when it cannot reach its registry.
_UNREACHABLE: Final = re.compile("ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED")


def npm_install(folder: Path, *packages: str) -> None:
    """Installs them into the folder; skips the test where npm cannot reach its registry."""
    installed = subprocess.run(
        ["npm", "install", "--prefix", folder, *_OPTIONS, *packages],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode and _UNREACHABLE.search(installed.stderr):
        pytest.skip(f"npm cannot fetch {packages[0]}: {installed.stderr.strip().splitlines()[0]}")
    assert installed.returncode == 0, installed.stderr
