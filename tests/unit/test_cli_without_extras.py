"""Where the extra `dev` is not installed, as in the image: help lists everything, and what is lacking says so."""

import sys

import pytest
from click.testing import CliRunner

from app.cli import main


@pytest.fixture(autouse=True)
def _without_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("app.commands.dev", "app.devstack"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psutil", None)


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0, result.output
    assert "dev " in result.output
    assert "serve " in result.output


@pytest.mark.parametrize("arguments", [["dev"], ["dev", "--demo"], ["dev", "--help"]])
def test_the_command_says_what_it_needs(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "`reco dev` needs the package psutil" in result.output
