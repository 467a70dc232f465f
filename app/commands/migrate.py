"""`reco migrate`: brings the schema up to date."""

import os
import sys

import click

from app import logs
from app.adapters import migrations, schema_check
from app.commands.json_output import json_option, write_json
from app.errors import DependencyDown, UserError
from app.settings import Settings


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; compare files, what was applied, and the live schema.")
@json_option
def migrate(check: bool, as_json: bool) -> None:
    """Apply missing migrations. Safe to run from several places at once; never changes an applied one.

    With --check the exit code is 1 when something must be fixed or is not applied yet.
    """
    logs.configure(format="console", level="WARNING")
    database_url = Settings.from_env({**os.environ, "ROLE": "api"}).session_url
    try:
        if check:
            sys.exit(_check(database_url, as_json=as_json))
        applied = migrations.migrate(database_url)
    except DependencyDown as error:
        raise UserError(f"{error}. Check DATABASE_URL and that the server is up.") from error
    if as_json:
        write_json({"applied": list(applied)})
        return
    for name in applied:
        click.echo(f"applied {name}")
    click.echo(f"{len(applied)} migrations applied; the schema is up to date.")


def _check(database_url: str, *, as_json: bool) -> int:
    findings = schema_check.check(database_url)
    if as_json:
        write_json(findings)
        return 1 if findings.errors or findings.pending else 0
    for error in findings.errors:
        click.echo(f"error    {error}")
    for name in findings.pending:
        click.echo(f"pending  {name}: not applied yet; `reco migrate` applies it")
    for name in findings.newer:
        click.echo(f"newer    {name}: applied by a later release than this one; migrations are additive, so this runs")
    if findings.errors or findings.pending:
        return 1
    click.echo("The migrations are in order, unchanged since they were applied, and the schema matches them.")
    return 0
