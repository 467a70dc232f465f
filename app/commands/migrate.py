"""`reco migrate`: the schema alone."""

import os

import click

from app.adapters import migrations
from app.settings import Settings


@click.command()
def migrate() -> None:
    """Apply missing migrations. Safe to run from several places at once; never changes an applied one."""
    applied = migrations.migrate(Settings.from_env({**os.environ, "ROLE": "api"}).database_url)
    for name in applied:
        click.echo(f"applied {name}")
    click.echo(f"{len(applied)} migrations applied; the schema is up to date.")
