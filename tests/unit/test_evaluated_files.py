"""`reco evaluate` plays an event that stands in two files once, as `reco import` stores it once."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import main

HEADER = "user_id,item_id,event_type,timestamp"


def write(file: Path, numbers: range) -> str:
    lines = [f"u{number % 30},i{number % 7},view,{1_600_000_000 + number * 60}" for number in numbers]
    # Two views in one second are two events.
    file.write_text("\n".join([HEADER, *lines, lines[0]]))
    return str(file)


def test_rows_that_stand_in_two_files_are_played_once(tmp_path: Path) -> None:
    files = write(tmp_path / "one.csv", range(100)), write(tmp_path / "two.csv", range(60, 160))
    ended = CliRunner().invoke(main, ["evaluate", *files, "--json"])
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.stdout)
    assert (found["events"], found["duplicate_rows"], found["bad_rows"]) == (162, 40, 0)
    assert "40 rows are events that other rows are as well, and count once" in ended.stderr


def test_figures_of_other_lengths_are_not_saved(tmp_path: Path) -> None:
    """The service's are of 20 places, and stand beside them."""
    file, saved = write(tmp_path / "one.csv", range(100)), tmp_path / "weights.json"
    ended = CliRunner().invoke(main, ["evaluate", file, "--k", "5", "--save-weights", str(saved)])
    assert ended.exit_code == 2
    assert "leave --k out" in ended.stderr
    assert not saved.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["FILE", "--kind", "shop"], "--kind: for a synthetic log only, not with FILEs"),
        (["--synthetic", "1", "--map", "user_id=who"], "--map: for FILEs only, not with --synthetic"),
        (["--synthetic", "1", "--delimiter", "tab", "--preset", "none"], "--preset, --delimiter: for FILEs only"),
    ],
)
def test_options_of_the_other_log_are_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    file = write(tmp_path / "one.csv", range(100))
    ended = CliRunner().invoke(main, ["evaluate", *(file if given == "FILE" else given for given in arguments)])
    assert ended.exit_code == 2
    assert said in ended.stderr
