"""`reco serve`: the process for ROLE."""

import os
import sys

import click

from app.main import run
from app.settings import Settings


@click.command()
@click.option("--role", metavar="ROLES", help="Comma list of api, relay, consumer, or all. Overrides ROLE.")
@click.option("--port", type=int, help="Overrides HTTP_PORT.")
def serve(role: str | None, port: int | None) -> None:
    """Run the service for ROLE until SIGTERM. A second signal ends it at once."""
    environ = dict(os.environ)
    if role is not None:
        environ["ROLE"] = role
    if port is not None:
        environ["HTTP_PORT"] = str(port)
    sys.exit(run(Settings.from_env(environ)))
