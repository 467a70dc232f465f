"""The argument URL of the commands that ask a running service."""

import os
from collections.abc import Callable
from typing import Any, Final

import click

from app.errors import UserError

_DEFAULT_PORT: Final = "8080"


def service_url(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the argument `url`. The default is the service on this machine, at the port of HTTP_PORT."""
    return click.argument("url", default=local_url)(command)


def local_url() -> str:
    """Raises `UserError` when HTTP_PORT is not a port."""
    port = os.environ.get("HTTP_PORT", "").strip() or _DEFAULT_PORT
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise UserError(f"HTTP_PORT={port!r}: expected a port, 1 to 65535")
    return f"http://127.0.0.1:{port}"
