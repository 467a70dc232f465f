"""`reco key`: API keys."""

import secrets

import click

from app.core import keys
from app.core.keys import MEANINGS, SCOPES
from app.errors import UserError


@click.group()
def key() -> None:
    """API keys."""


@key.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    default=["write", "read"],
    show_default=True,
    help="May be repeated. " + "; ".join(f"{scope}: {meaning}" for scope, meaning in MEANINGS.items()) + ".",
)
def new(name: str, scopes: tuple[str, ...]) -> None:
    """Make a key. The key itself goes to stderr, once; the entry for API_KEYS or API_KEYS_FILE to stdout.

    To rotate: append the new entry to the file, move the clients over, remove the old one. No restart is needed.
    """
    try:
        made, token = keys.make(name, scopes, secrets.token_urlsafe(keys.SECRET_BYTES))
    except ValueError as error:
        raise UserError(str(error)) from error
    if "admin" in made.scopes:
        others = ", ".join(scope for scope in SCOPES if scope not in ("admin", "browser"))
        click.echo(f"admin stands for all scopes ({others}); name those that the client needs instead.", err=True)
    click.echo(f"The key, for the client; it is shown this once:\n{token}\nThe entry, for the service:", err=True)
    click.echo(made.entry())
