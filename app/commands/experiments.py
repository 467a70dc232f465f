"""`reco experiments`: what runs, what the figures say, and an end to it where the API cannot be reached."""

from typing import TYPE_CHECKING

import click

from app.adapters import audit
from app.adapters import experiments as stored_experiments
from app.adapters.audit import AuditEntry
from app.api.experiment_bodies import ExperimentReport, ShownExperiment, VariantFigures, report, shown
from app.commands.json_output import json_lines_option, json_option, write_json
from app.commands.on_postgres import run_on_postgres
from app.commands.operator_name import operator
from app.errors import UserError

if TYPE_CHECKING:
    from app.adapters.postgres import Connection


@click.group()
def experiments() -> None:
    """Experiments: list them, read what their figures say, and stop them. POST /experiments starts one."""


@experiments.command("list")
@json_lines_option
def list_(as_json: bool) -> None:
    """Those that run first, then the newest."""
    for stored in run_on_postgres(stored_experiments.read_all):
        one = shown(stored)
        if as_json:
            write_json(one)
        else:
            click.echo(_line(one))


@experiments.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """The figures of NAME, and what they say. Look as often as you like: the intervals allow for it."""

    async def read(connection: "Connection") -> ExperimentReport:
        stored = await stored_experiments.read(connection, name)
        if stored is None:
            raise UserError(f"There is no experiment {name}. `reco experiments list` shows those that there are.")
        return report(stored, await stored_experiments.read_sums(connection, stored))

    found = run_on_postgres(read)
    if as_json:
        write_json(found)
        return
    click.echo(_line(found.experiment))
    click.echo(f"  {found.experiment.definition.hypothesis}")
    for variant in found.variants:
        _print_figures(variant)
    if found.problem is not None:
        click.echo(f"\n{found.problem}")


@experiments.command()
@click.argument("name")
@click.option("--conclusion", help="What was decided, and why.")
def stop(name: str, conclusion: str | None) -> None:
    """End NAME: within a second, all users get what control gets. Its figures stay."""

    async def end(connection: "Connection") -> bool:
        async with connection.transaction():
            stopped = await stored_experiments.stop(connection, name, conclusion)
            if stopped:
                await audit.record(
                    connection,
                    [
                        AuditEntry(
                            actor=f"reco experiments ({operator()})",
                            action="stop_experiment",
                            targets=[name],
                            outcome="stopped",
                            request_id=None,
                        )
                    ],
                )
        return stopped

    if not run_on_postgres(end):
        raise UserError(f"No experiment {name} runs. `reco experiments list` shows those that there are.")
    click.echo(f"{name} has ended; its users are served as control within a second")


def _line(one: ShownExperiment) -> str:
    state = "runs" if one.ended_at is None else f"ended {one.ended_at:%Y-%m-%d %H:%M} UTC"
    shares = ", ".join(f"{name} {share:.1%}" for name, share in one.shares.items())
    since = f"{one.started_at:%Y-%m-%d %H:%M} UTC"
    return f"{one.name:<32}  {one.definition.lists:<9}  {state}, started {since}  ({shares})"


def _print_figures(variant: VariantFigures) -> None:
    click.echo(f"\n{variant.variant}: {variant.exposed} users")
    for metric, figures in variant.metrics.items():
        value = "-" if figures.value is None else f"{figures.value:g}"
        click.echo(f"  {metric:<10}  {value:<12}  of {figures.users} users whose days are over")
    if variant.verdict is not None:
        click.echo(f"  {variant.verdict.words}")
