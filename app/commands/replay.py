"""`reco replay outbox | dlq | events`: replays dead rows, dead letters and lost events, in small batches."""

import time
from collections import Counter
from typing import Final

import click
import msgspec
import psycopg
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.adapters import replay as adapter
from app.adapters.replay import Filters, Found, ReplaySource
from app.commands.dead_rows import filter_options, filters
from app.commands.durations import Duration
from app.commands.json_output import json_option, write_json
from app.commands.on_postgres import database
from app.commands.operator_name import operator
from app.core.replay import DEDUPE_DAYS_LEAST, LOOK_BACK_DAYS, split_by_replays

_BATCH: Final = 100
_INTERRUPTED: Final = 130
_DAY_SEC: Final = 86_400.0


class _Plan(Struct, frozen=True):
    source: ReplaySource
    filters: Filters
    limit: int
    rate: float
    max_replays: int | None
    dry_run: bool
    as_json: bool


class _Summary(Struct):
    sent: int = 0
    counted: int = 0
    held_back: int = 0
    kinds: Counter[str] = Counter()


@click.group()
def replay() -> None:
    """Replay dead rows, dead letters or lost events. Safe to interrupt and repeat: nothing is lost or counted twice."""


def _common(command: click.decorators.FC) -> click.decorators.FC:
    for option in reversed(
        (
            click.option(
                "--rate",
                type=click.FloatRange(min=0, min_open=True),
                default=500.0,
                show_default=True,
                help="Rows a second.",
            ),
            click.option(
                "--max-replays",
                type=click.IntRange(min=1),
                default=3,
                show_default=True,
                help="Leave out rows that were replayed this often and failed again.",
            ),
            click.option("--force", is_flag=True, help="Send those as well."),
            click.option("--dry-run", is_flag=True, help="Show what would be sent; change nothing."),
            json_option,
        )
    ):
        command = option(command)
    return command


@replay.command()
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="At most so many rows.")
@filter_options
@_common
def outbox(
    limit: int,
    topic: str | None,
    error: str | None,
    older_than: float | None,
    newer_than: float | None,
    ids: tuple[int, ...],
    rate: float,
    max_replays: int,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Requeue dead outbox rows: the relay publishes them again.

    Exit code 0: done; 1: some rows were left out and need --force; 2: it could not be done.
    """
    wanted = filters(topic=topic, error=error, older_than=older_than, newer_than=newer_than, ids=ids)
    _run(_Plan("outbox", wanted, limit, rate, None if force else max_replays, dry_run, as_json))


@replay.command()
@click.option("--status", type=click.Choice(["pending", "replayed"]), default="pending", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many rows.")
@filter_options
@_common
def dlq(
    status: str,
    limit: int,
    topic: str | None,
    error: str | None,
    older_than: float | None,
    newer_than: float | None,
    ids: tuple[int, ...],
    rate: float,
    max_replays: int,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Replay the consumer's dead letters through the outbox. Messages counted since are only marked.

    A damaged batch is not a message and stays: `reco replay events` finds its events. So do letters that were replayed
    more than 14 days ago: whether they were counted is no longer known.

    Exit code 0: done; 1: some rows were left out and need --force; 2: it could not be done.
    """
    wanted = msgspec.structs.replace(
        filters(topic=topic, error=error, older_than=older_than, newer_than=newer_than, ids=ids, status=status),
        sendable_only=True,
    )
    _run(_Plan("dlq", wanted, limit, rate, None if force else max_replays, dry_run, as_json))


@replay.command()
@click.option("--limit", type=click.IntRange(min=1), default=10_000, show_default=True, help="At most so many events.")
@click.option(
    "--older-than",
    type=Duration(),
    default="15m",
    show_default=True,
    help="Leave out events that may still be on their way through Kafka.",
)
@click.option("--newer-than", type=Duration(), default=f"{LOOK_BACK_DAYS}d", show_default=True)
@click.option("--dry-run", is_flag=True, help="Show how many would be sent; change nothing.")
@json_option
def events(limit: int, older_than: float, newer_than: float, dry_run: bool, as_json: bool) -> None:
    """Requeue accepted events that were never counted: after a topic was deleted, or its retention ran out."""
    if newer_than > DEDUPE_DAYS_LEAST * _DAY_SEC:
        raise click.UsageError(
            f"--newer-than reaches back more than {DEDUPE_DAYS_LEAST} days: for older events it is not known "
            "whether they were counted."
        )
    with database() as connection:
        count = adapter.requeue_uncounted(
            connection, newer_sec=newer_than, older_sec=older_than, limit=limit, dry_run=dry_run, by=operator()
        )
    if as_json:
        write_json({"requeued": count, "dry_run": dry_run})
        return
    click.echo(f"{count} events {'would be' if dry_run else 'were'} requeued in the outbox.")


def _run(plan: _Plan) -> None:
    summary = _Summary(kinds=Counter())
    interrupted = False
    with database() as connection, _progress() as bar:
        try:
            _replay(connection, plan, summary, bar)
        except KeyboardInterrupt:
            interrupted = True
    if plan.as_json:
        write_json({**msgspec.to_builtins(summary), "dry_run": plan.dry_run})
    else:
        _tell(plan, summary)
    if interrupted:
        click.echo("Interrupted: the rows above are done, the others unchanged. Run it again to continue.", err=True)
        raise SystemExit(_INTERRUPTED)
    if summary.held_back:
        raise SystemExit(1)


def _replay(connection: psycopg.Connection, plan: _Plan, summary: _Summary, bar: Progress) -> None:
    task = bar.add_task(f"replay {plan.source}", total=plan.limit)
    after, left, by = 0, plan.limit, operator()
    began = time.monotonic()
    filters = msgspec.structs.replace(plan.filters, until=adapter.now(connection))
    while left > 0:
        with connection.transaction():
            # A full page is read even if `left` is less: those held back do not use up the limit.
            found = adapter.find(connection, plan.source, filters, after=after, limit=_BATCH)
            if not found:
                return
            sendable, held = split_by_replays(found, plan.max_replays)
            if len(sendable) > left:
                found = found[: found.index(sendable[left])]
                sendable, held = split_by_replays(found, plan.max_replays)
            sent = len(sendable)
            if not plan.dry_run and sendable:
                sent = adapter.requeue(connection, plan.source, sendable, status=plan.filters.status, by=by)
        _note(summary, sendable, sent, len(held))
        after, left = found[-1].id if found else after, left - len(sendable)
        bar.update(task, advance=len(sendable))
        if not plan.dry_run:
            time.sleep(max(0.0, began + summary.sent / plan.rate - time.monotonic()))


def _note(summary: _Summary, sendable: list[Found], sent: int, held: int) -> None:
    summary.sent += sent
    summary.counted += len(sendable) - sent
    summary.held_back += held
    summary.kinds.update(f"{row.topic}: {(row.error or '').partition(chr(10))[0][:100]}" for row in sendable)


def _tell(plan: _Plan, summary: _Summary) -> None:
    verb = "would be sent" if plan.dry_run else "sent"
    click.echo(f"{summary.sent} {verb} again.")
    for kind, count in summary.kinds.most_common(10):
        click.echo(f"  {count:>6}  {kind}")
    if summary.counted:
        click.echo(f"{summary.counted} had been counted meanwhile and were marked as replayed.")
    if summary.held_back:
        click.echo(
            f"{summary.held_back} came back {plan.max_replays} times or more and were left out; --force sends them."
        )


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not Console(stderr=True).is_terminal,
    )
