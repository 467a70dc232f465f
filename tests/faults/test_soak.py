"""A short soak, as `scripts/soak` runs a long one."""

import json
import subprocess
import sys

import pytest
from rich.console import Console

from tests.faults.soak import run
from tests.faults.soak.screen import Screen
from tests.support.service import ROOT


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_random_faults_of_a_short_soak() -> None:
    """On servers of its own. Everything adds up after each round; how soon, depends on the machine."""
    soak = [sys.executable, "-m", "tests.faults.soak", "--minutes", "2", "--seed", "7", "--json"]
    ended = subprocess.run(soak, cwd=ROOT, capture_output=True, text=True, timeout=450, check=False)
    assert ended.stdout, ended.stderr
    report = json.loads(ended.stdout)
    assert report["violations"] == []
    assert ended.returncode == bool(report["late"]), ended.stderr
    assert sum(report["kills"].values()) > 0
    assert report["events"].keys() == {"accepted"}


@pytest.mark.slow
def test_service_that_accepts_nothing_at_the_start_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_START_SEC", 0.0)
    monkeypatch.setattr(run.Client, "repeat", lambda client: 1)
    with Screen(Console(stderr=True)) as screen:
        report = run.soak(seed=1, minutes=1.0, max_kills=None, strikes_per_sec=1.0, screen=screen, logs=None)
    (violation,) = report.violations
    assert violation.startswith("start: no event is accepted")
    assert report.recoveries == []
