"""`reco token`: signed user tokens."""

import time

import click

from app.commands.durations import Duration
from app.core.user_tokens import UserTokens, WrongUserToken, parse_secrets, sign
from app.errors import UserError

_secrets = click.option(
    "--secrets",
    envvar="USER_TOKEN_SECRETS",
    required=True,
    help="As the service has them, with commas between; else USER_TOKEN_SECRETS. The first one signs.",
)


@click.group()
def token() -> None:
    """Tokens by which an application tells the service who uses a page."""


@token.command("sign")
@click.argument("user_id")
@click.option("--ttl", type=Duration(), default="1h", show_default=True, help="When it ends: 10m, 2h, 7d; up to 31d.")
@_secrets
def sign_(user_id: str, ttl: float, secrets: str) -> None:
    """Print a token of USER_ID, to try out what that user's browser may do."""
    try:
        click.echo(sign(user_id, _parsed(secrets)[0], now_sec=time.time(), life_sec=ttl))
    except ValueError as error:
        raise UserError(f"This would be no token that the service takes: {error}") from None


@token.command()
@click.argument("text", metavar="TOKEN")
@_secrets
def check(text: str, secrets: str) -> None:
    """Print whose token it is. The exit code is 2, with the reason, where the service would refuse it."""
    try:
        click.echo(UserTokens(_parsed(secrets)).user_of(text, time.time()))
    except WrongUserToken as error:
        raise UserError(f"The service would refuse this token: {error}") from None


def _parsed(secrets: str) -> tuple[str, ...]:
    try:
        found = parse_secrets(secrets)
    except ValueError as error:
        raise UserError(f"USER_TOKEN_SECRETS: {error}") from None
    if not found:
        raise UserError("USER_TOKEN_SECRETS: no secret in it")
    return found
