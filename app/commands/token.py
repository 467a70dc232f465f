"""`reco token`: signed user tokens."""

import time
from pathlib import Path

import click

from app.commands.durations import Duration
from app.core.user_tokens import UserTokens, WrongUserToken, checked_secrets, parse_secrets, sign
from app.errors import UserError

_secrets = click.option(
    "--secrets",
    envvar="USER_TOKEN_SECRETS",
    default="",
    help="As the service has them, with commas between; else USER_TOKEN_SECRETS. The first one signs.",
)
_secrets_file = click.option(
    "--secrets-file",
    envvar="USER_TOKEN_SECRETS_FILE",
    type=click.Path(path_type=Path),
    help="More of them, one a line; else USER_TOKEN_SECRETS_FILE.",
)


@click.group()
def token() -> None:
    """Tokens by which an application tells the service who uses a page."""


@token.command("sign")
@click.argument("user_id")
@click.option("--ttl", type=Duration(), default="1h", show_default=True, help="When it ends: 10m, 2h, 7d; up to 31d.")
@_secrets
@_secrets_file
def sign_(user_id: str, ttl: float, secrets: str, secrets_file: Path | None) -> None:
    """Print a token of USER_ID, to try out what that user's browser may do."""
    try:
        click.echo(sign(user_id, _parsed(secrets, secrets_file)[0], now_sec=time.time(), life_sec=ttl))
    except ValueError as error:
        raise UserError(f"This would be no token that the service takes: {error}") from None


@token.command()
@click.argument("text", metavar="TOKEN")
@_secrets
@_secrets_file
def check(text: str, secrets: str, secrets_file: Path | None) -> None:
    """Print whose token it is. The exit code is 2, with the reason, where the service would refuse it."""
    try:
        click.echo(UserTokens(_parsed(secrets, secrets_file)).user_of(text, time.time()))
    except WrongUserToken as error:
        raise UserError(f"The service would refuse this token: {error}") from None


def _parsed(secrets: str, file: Path | None) -> tuple[str, ...]:
    try:
        lines = [] if file is None else file.read_text(encoding="utf-8").splitlines()
        found = (*parse_secrets(secrets), *checked_secrets(lines))
    except (OSError, ValueError) as error:
        raise UserError(f"The secrets (USER_TOKEN_SECRETS, USER_TOKEN_SECRETS_FILE) cannot be read: {error}") from None
    if not found:
        raise UserError("There is no secret: give --secrets or --secrets-file, or set USER_TOKEN_SECRETS(_FILE)")
    return found
