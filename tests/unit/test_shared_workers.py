"""Tests that may share a fixture run on one worker; the other one would make it a second time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service import ROOT

CONFTEST = """
from pathlib import Path

import pytest


@pytest.fixture(scope="package")
def world():
    with Path("made").open("a") as file:
        file.write("once\\n")
"""
TESTS = """
import pytest


@pytest.mark.parametrize("number", range(6))
def test_one(world, number):
    pass
"""


@pytest.mark.slow
def test_a_folder_with_a_conftest_makes_its_fixture_once(tmp_path: Path) -> None:
    folder = tmp_path / "suite" / "kind" / "folder"
    folder.mkdir(parents=True)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib -p no:asyncio\n")
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_xdist_make_scheduler\n")
    (folder / "conftest.py").write_text(CONFTEST)
    for name in ("test_first.py", "test_second.py"):
        (folder / name).write_text(TESTS)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist=loadscope", "--no-loadscope-reorder"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "12 passed" in done.stdout, done.stdout + done.stderr
    assert (tmp_path / "made").read_text() == "once\n"
