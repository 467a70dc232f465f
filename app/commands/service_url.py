"""The argument URL of the commands that ask a running service."""

import os
from collections.abc import Callable
from typing import Any, Final

import click

_DEFAULT_PORT: Final = "8080"


def service_url(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the argument `url`; without one it is the service of this machine, at the port of HTTP_PORT."""
    return click.argument("url", default=local_url)(command)


def local_url() -> str:
    return f"http://127.0.0.1:{os.environ.get('HTTP_PORT', '').strip() or _DEFAULT_PORT}"
