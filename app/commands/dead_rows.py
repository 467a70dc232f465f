"""Shared by `reco replay`, `reco outbox` and `reco dlq`: the filters, the connection, the operator's name."""

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
import psycopg

from app.adapters import migrations
from app.adapters.replay import Filters
from app.commands.durations import Duration
from app.errors import DependencyDown, UserError, describe
from app.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


def filter_options(command: F) -> F:
    """--topic, --error, --older-than, --newer-than and --id."""
    for option in reversed(
        (
            click.option("--topic", help="Only this topic (without the prefix)."),
            click.option("--error", help="Only rows whose error contains this text."),
            click.option("--older-than", type=Duration(), help="Only what failed longer ago: 90s, 10m, 2h, 7d."),
            click.option("--newer-than", type=Duration(), help="Only what failed since: 90s, 10m, 2h, 7d."),
            click.option("--id", "ids", type=int, multiple=True, help="Only this row; may be given several times."),
        )
    ):
        command = option(command)
    return command


def filters(
    *,
    topic: str | None,
    error: str | None,
    older_than: float | None,
    newer_than: float | None,
    ids: tuple[int, ...],
    status: str = "pending",
) -> Filters:
    return Filters(status=status, ids=ids or None, topic=topic, error=error, older_sec=older_than, newer_sec=newer_than)


@contextmanager
def database() -> Iterator[psycopg.Connection]:
    """A connection with a session to the database in autocommit mode. Its errors are raised as `UserError`."""
    try:
        url = Settings.from_env({**os.environ, "ROLE": "api"}).session_url
        with migrations.connect(url) as connection:
            yield connection
    except DependencyDown as error:
        raise UserError(f"{error}. Check DATABASE_URL and that the server is up.") from error
    except psycopg.errors.UndefinedTable as error:
        raise UserError("The schema does not exist yet: run `reco migrate` first.") from error
    except psycopg.Error as error:
        raise UserError(f"Postgres: {describe(error)}. Completed work is kept; run the command again.") from error


def operator() -> str:
    """The operator's name, which is stored with the action."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        return f"uid {os.getuid()}"
