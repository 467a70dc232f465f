"""`reco outbox` and `reco dlq`: list, show and discard dead rows and dead letters."""

from typing import Any

import click

from app.adapters import replay
from app.adapters.replay import ReplaySource
from app.commands.dead_rows import filter_options, filters
from app.commands.json_output import json_lines_option, json_option, write_json
from app.commands.on_postgres import database
from app.commands.operator_name import operator
from app.errors import UserError

_SHOWN_BYTES = 4000


@click.group()
def outbox() -> None:
    """Dead outbox rows, which Kafka refused too often."""


@click.group()
def dlq() -> None:
    """Messages that the consumer could not count."""


@outbox.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@filter_options
@json_lines_option
def list_outbox(limit: int, as_json: bool, **chosen: Any) -> None:
    """Dead rows, oldest first."""
    _list("outbox", limit, chosen, as_json=as_json)


@dlq.command("list")
@click.option("--status", type=click.Choice(["pending", "replayed", "discarded"]), default="pending", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@filter_options
@json_lines_option
def list_dlq(limit: int, as_json: bool, **chosen: Any) -> None:
    """Dead letters, oldest first."""
    _list("dlq", limit, chosen, as_json=as_json)


@outbox.command("show")
@click.argument("row_id", type=int)
@json_option
def show_outbox(row_id: int, as_json: bool) -> None:
    """Everything stored about one row."""
    _show("outbox", row_id, as_json=as_json)


@dlq.command("show")
@click.argument("row_id", type=int)
@json_option
def show_dlq(row_id: int, as_json: bool) -> None:
    """Everything stored about one dead letter, including its bytes."""
    _show("dlq", row_id, as_json=as_json)


@outbox.command("discard")
@click.argument("ids", type=int, nargs=-1, required=True)
@click.option("--reason", required=True, help="Why; kept with the row.")
def discard_outbox(ids: tuple[int, ...], reason: str) -> None:
    """Discard dead rows. They stay, with the operator and the reason, until retention removes them."""
    _discard("outbox", ids, reason)


@dlq.command("discard")
@click.argument("ids", type=int, nargs=-1, required=True)
@click.option("--reason", required=True, help="Why; kept with the row.")
def discard_dlq(ids: tuple[int, ...], reason: str) -> None:
    """Discard dead letters. They stay, with the operator and the reason, until retention removes them."""
    _discard("dlq", ids, reason)


def _list(source: ReplaySource, limit: int, chosen: dict[str, Any], *, as_json: bool) -> None:
    with database() as connection:
        found = replay.find(connection, source, filters(**chosen), after=0, limit=limit)
    for row in found:
        if as_json:
            write_json(row)
            continue
        failed = row.at.isoformat(timespec="seconds") if row.at is not None else "-"
        error = " ".join((row.error or "").split())[:120]
        click.echo(f"{row.id:>8}  {failed}  {row.topic}  {row.event_id or '-'}  replays={row.replays}  {error}")
    if not found and not as_json:
        click.echo("Nothing there.")


def _show(source: ReplaySource, row_id: int, *, as_json: bool) -> None:
    with database() as connection:
        row = replay.show(connection, source, row_id)
    if row is None:
        raise UserError(f"There is no row {row_id}; `reco {source} list` shows the rows.")
    if as_json:
        write_json(row)
        return
    value = row.pop("value")
    headers = zip(row.pop("header_names", []), row.pop("header_values", []), strict=True)
    failures = row.pop("errors") or []
    for name, content in row.items():
        click.echo(f"{name:>14}: {_text(content)}")
    for one in failures:
        replays = f", replays={one['replays']}" if one["replays"] else ""
        click.echo(f"{'attempt':>14}: {one['at'][:19]} {one['task']} {one['process']}{replays}: {one['error']}")
    for name, content in headers:
        click.echo(f"{'header':>14}: {name} = {_text(content)}")
    click.echo(f"{'value':>14}: {'-' if value is None else _text(value[:_SHOWN_BYTES])}")
    if value is not None and len(value) > _SHOWN_BYTES:
        click.echo(f"{'':>14}  … {len(value) - _SHOWN_BYTES} bytes more")


def _discard(source: ReplaySource, ids: tuple[int, ...], reason: str) -> None:
    with database() as connection:
        done = replay.discard(connection, source, ids, by=operator(), reason=reason)
    click.echo(f"{len(done)} discarded.")
    if missing := sorted(set(ids) - set(done)):
        raise UserError(f"Not found, or not in a state to be discarded: {', '.join(map(str, missing))}.")


def _text(content: Any) -> str:
    if isinstance(content, bytes):
        return content.decode("utf-8", "backslashreplace")
    return "-" if content is None else str(content)
