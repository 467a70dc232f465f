"""`reco smoke`: sends test events through the service."""

import secrets
import sys

import click

from app.checks import smoke as walk
from app.checks.client import Client
from app.commands.json_output import json_option, write_json
from app.commands.service_url import service_url


@click.command()
@service_url
@click.option(
    "--key", envvar="RECO_API_KEY", default="", help="API key with the scopes write, read and users; else RECO_API_KEY."
)
@click.option(
    "--patience", type=click.FloatRange(0.1, 600), default=15.0, show_default=True, help="Seconds until visible."
)
@json_option
def smoke(url: str, key: str, patience: float, as_json: bool) -> None:
    """Send one event of each kind through the service at URL, with timings.

    The default URL is this machine at HTTP_PORT, else 8080.

    The user is new each time. At the end the events are cancelled, so that the items reco-smoke-1 and reco-smoke-2 are
    in no list, and the user is erased. The exit code is 1 when a step failed.
    """
    client = Client(url, key)
    failed = 0
    steps = walk.walk(client, run=secrets.token_hex(6), patience_sec=patience)
    if as_json:
        taken = list(steps)
        failed = sum(not step.ok for step in taken)
        write_json({"steps": taken, "failed": failed})
        sys.exit(1 if failed else 0)
    for step in steps:
        failed += not step.ok
        click.echo(f"{'ok    ' if step.ok else 'FAILED'} {step.ms:8.1f} ms  {step.name}  {step.found}".rstrip())
    click.echo(f"{failed} step{'s' * (failed > 1)} failed." if failed else "An event of each kind gets through.")
    sys.exit(1 if failed else 0)
