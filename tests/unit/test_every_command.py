"""Each `reco` command has a test, marked `shows`, that runs it."""

from collections.abc import Iterator

import click

from app.cli import main
from tests.support.shown import shown


def commands(group: click.Group, path: str) -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}"


def test_every_command_has_a_test_that_runs_it() -> None:
    run = {name for name in shown("acceptance", "faults", "integration", "unit") if name.startswith("reco ")}
    assert run == set(commands(main, "reco"))
