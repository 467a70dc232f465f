"""A forked process is one as `python -m` makes it."""

import subprocess
from pathlib import Path

import pytest

from tests.support.forked import Forked
from tests.support.service import ROOT


def test_process_that_ends_leaves_its_exit_code_and_its_output(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = Forked(["app"], {"ROLE": "relais"}, ROOT, str(log))
    assert process.wait(30) == 2
    assert process.returncode == 2
    assert "ROLE" in log.read_text()
    process.kill()  # does nothing


def test_process_that_runs_has_no_exit_code_until_it_is_killed(tmp_path: Path) -> None:
    process = Forked(["http.server", "--bind", "127.0.0.1", "0"], {}, ROOT, str(tmp_path / "log"))
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0)
    process.kill()
    assert process.returncode == -9
