"""`reco migrate`: the schema alone."""

import os

import click

from app.adapters import migrations
from app.errors import DependencyDown, UserError
from app.settings import Settings


@click.command()
def migrate() -> None:
    """Apply missing migrations. Safe to run from several places at once; never changes an applied one."""
    try:
        applied = migrations.migrate(Settings.from_env({**os.environ, "ROLE": "api"}).database_url)
    except DependencyDown as error:
        raise UserError(f"{error}. Check DATABASE_URL and that the server is up.") from error
    for name in applied:
        click.echo(f"applied {name}")
    click.echo(f"{len(applied)} migrations applied; the schema is up to date.")
