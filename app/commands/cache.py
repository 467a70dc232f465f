"""`reco cache use`: which backend all processes use for the cache of histories."""

from typing import Literal

import click

from app.adapters import cache_choice
from app.commands.on_postgres import database
from app.commands.operator_name import operator


@click.group()
def cache() -> None:
    """Choose the backend of the cache of histories."""


@cache.command()
@click.argument("backend", type=click.Choice(["redis", "memory", "settings"]))
def use(backend: Literal["redis", "memory", "settings"]) -> None:
    """Make all running processes, and those that start later, use BACKEND within a second.

    `memory`: recommendations come from Postgres and from the memory of each process, and Redis is not read. `settings`
    goes back to the ONLINE_CACHE_BACKEND of each process.
    """
    with database() as connection:
        cache_choice.choose(connection, None if backend == "settings" else backend, by=operator())
    click.echo(
        "Every process uses its own ONLINE_CACHE_BACKEND within a second"
        if backend == "settings"
        else f"Every process uses {backend} within a second, until `reco cache use settings`"
    )
