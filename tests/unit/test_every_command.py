"""Each `reco` command has a test, marked `shows`, that runs it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from app.cli import main
from tests.support.service import ROOT
from tests.support.shown import shown


def leaves(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def test_every_command_has_a_test_that_runs_it() -> None:
    run = {name for name in shown("acceptance", "faults", "integration", "unit") if name.startswith("reco ")}
    assert run == {path for path, _ in leaves(main, "reco")}


# They run, or do one thing and say so in a line.
_WITHOUT_REPORT = {
    *("reco serve", "reco dev", "reco key new", "reco cache use", "reco outbox discard", "reco dlq discard"),
    *("reco model promote", "reco model rollback", "reco model pin", "reco model unpin", "reco model import"),
    "reco model store",
    *("reco experiments stop", "reco token sign", "reco token check"),
}


def test_every_command_that_reports_takes_json() -> None:
    without = {
        path for path, command in leaves(main, "reco") if "--json" not in [o for p in command.params for o in p.opts]
    }
    assert without == _WITHOUT_REPORT


def test_page_of_commands_names_each_of_them() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    missing = [name for name in main.list_commands(click.Context(main)) if f"`reco {name}`" not in page]
    assert missing == []


def test_list_of_commands_says_of_each_what_its_own_help_begins_with() -> None:
    context = click.Context(main)
    commands = {name: main.get_command(context, name) for name in main.list_commands(context)}
    own = {name: command.get_short_help_str(limit=1_000) for name, command in commands.items() if command is not None}
    assert {item.value: item.help for item in main.shell_complete(context, "")} == own


def test_list_of_commands_is_there_before_any_of_them_is_loaded() -> None:
    program = (
        "import sys\nfrom app.cli import main\nmain(['--help'], standalone_mode=False)\n"
        "print([name for name in sys.modules if name.startswith('app.commands.')])"
    )
    shown = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "  rebuild      Make the features anew" in shown
    assert shown.splitlines()[-1] == "[]"


def test_misspelt_command_is_told_with_the_nearest() -> None:
    said = CliRunner().invoke(main, ["improt"]).output
    assert "No such command 'improt'. Did you mean 'import'?" in said


@pytest.mark.parametrize(
    ("words", "completed"), [("reco im", "plain,import"), ("reco import --ev", "plain,--event-type")]
)
def test_shell_completes_commands_and_options(words: str, completed: str) -> None:
    environment = {"_RECO_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    assert CliRunner(env=environment).invoke(main, prog_name="reco").stdout == f"{completed}\n"


_BASH = """
eval "$(_RECO_COMPLETE=bash_source reco)"
complete -p reco
COMP_WORDS=(reco import --ev) COMP_CWORD=2
_reco_completion reco
echo "${COMPREPLY[@]}"
"""
_ZSH = """
autoload -Uz compinit && compinit -u -d "$HOME/dump"
eval "$(_RECO_COMPLETE=zsh_source reco)"
_describe() { print ${(P)4}; print $completions_with_descriptions }
words=(reco impo) CURRENT=2
${_comps[reco]}
"""


@pytest.mark.parametrize(
    ("shell", "script", "completed"),
    [(["bash", "--norc"], _BASH, "--event-type"), (["zsh", "-f"], _ZSH, "import:Import logs of events")],
)
def test_the_documented_line_makes_a_shell_complete(
    tmp_path: Path, shell: list[str], script: str, completed: str
) -> None:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    page = (ROOT / "docs" / "commands.md").read_text()
    assert f'eval "$(_RECO_COMPLETE={shell[0]}_source reco)"' in page
    program = """from app.cli import main; main(prog_name='reco')"""
    (tmp_path / "reco").write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{program}" "$@"\n')
    (tmp_path / "reco").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [*shell, "-c", script]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert completed in found.stdout, found.stderr
