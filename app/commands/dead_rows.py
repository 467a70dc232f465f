"""The options that choose dead rows and dead letters, of `reco replay`, `reco outbox` and `reco dlq`."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from app.adapters.replay import Filters
from app.commands.durations import Duration

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
