"""`reco audit`: who changed what, and which keys were refused."""

from typing import Final, get_args

import click

from app.adapters import audit as audit_log
from app.adapters.audit import AuditedAction, AuditRow
from app.commands.durations import Duration
from app.commands.json_output import json_lines_option, write_json
from app.commands.on_postgres import database

_SHOWN_TARGETS: Final = 3


@click.command()
@click.option("--key", "actor", metavar="NAME", help="Only what this API key did, or this command: 'reco import'.")
@click.option("--action", type=click.Choice(get_args(AuditedAction)))
@click.option("--target", metavar="ID", help="Only what was done to this item, rule or row ('dlq 17').")
@click.option("--since", type=Duration(), metavar="AGE", help="Only the last 90s, 10m, 2h or 7d.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@json_lines_option
def audit(
    actor: str | None, action: str | None, target: str | None, since: float | None, limit: int, as_json: bool
) -> None:
    """The audit log, newest first: what API keys and commands changed, and refused keys.

    An erasure is named by its number. Refused keys of ten seconds are one row with their count. RETENTION_AUDIT_DAYS
    says how long rows are kept.
    """
    with database() as connection:
        found = audit_log.find(connection, actor=actor, action=action, target=target, newer_sec=since, limit=limit)
    for row in found:
        if as_json:
            write_json(row)
        else:
            click.echo(_line(row))
    if not found and not as_json:
        click.echo("Nothing there.")


def _line(row: AuditRow) -> str:
    shown = ", ".join(row.targets[:_SHOWN_TARGETS])
    more = f" and {len(row.targets) - _SHOWN_TARGETS} more" if len(row.targets) > _SHOWN_TARGETS else ""
    times = f" ({row.count} times)" if row.count > 1 else ""
    when = row.recorded_at.isoformat(timespec="seconds")
    return f"{when}  {row.actor or '-'}  {row.action}  {shown}{more}  {row.outcome}{times}  {row.request_id or '-'}"
