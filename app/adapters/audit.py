"""The audit log: who changed what and when, and which keys were refused.

A change is recorded in its own transaction, by the database's clock. Names of keys and ids of items and rules are kept,
and of a user nothing: an erasure is named by its number.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import psycopg
import structlog
from msgspec import Struct
from psycopg.rows import class_row

from app.adapters import sql

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

AuditedAction: TypeAlias = Literal[
    "erase_user",
    "merge_users",
    "undo_merge",
    "store_items",
    "delete_item",
    "declare_attribute",
    "delete_attribute",
    "store_rule",
    "delete_rule",
    "undo_rule",
    "store_event_type",
    "delete_event_type",
    "start_experiment",
    "change_experiment",
    "stop_experiment",
    "delete_experiment",
    "refuse_key",
    "expose_key",
    "change_model",
    "replay_messages",
    "discard_messages",
    "choose_cache",
    "rebuild",
]

_SQL: Final = sql.load(__file__)
_log: Final = structlog.get_logger(__name__)


class AuditEntry(Struct, frozen=True, kw_only=True):
    """`actor`: the name of an API key, or a command; None where no key was asked for, or an unknown one was given.

    `targets`: the ids of what was changed, or the call that was refused. `count`: how many refusals the entry sums up.
    """

    actor: str | None
    action: AuditedAction
    targets: Sequence[str]
    outcome: str
    request_id: str | None
    count: int = 1


class AuditRow(Struct, frozen=True, kw_only=True):
    """A row of `audit_log`."""

    recorded_at: datetime
    actor: str | None
    action: str
    targets: list[str]
    outcome: str
    count: int
    request_id: str | None


async def record(connection: "Connection", entries: Iterable[AuditEntry]) -> None:
    """Writes rows; in the transaction of the change, so that there is either both or neither."""
    await connection.executemany(
        _SQL["record"],
        [(entry.actor, entry.action, entry.targets, entry.outcome, entry.count, entry.request_id) for entry in entries],
    )


async def exposed_keys(connection: "Connection") -> list[str]:
    """The names of keys that pages in browsers have used in the last week, though they are not for browsers."""
    return [name for (name,) in await connection.fetch(_SQL["exposed_keys"])]


def record_of_command(
    connection: psycopg.Connection, action: AuditedAction, targets: Sequence[str], outcome: str, *, actor: str
) -> None:
    """Writes one row of what a command does on a synchronous connection; in the transaction of the change."""
    row = {"actor": actor, "action": action, "targets": list(targets), "outcome": outcome}
    connection.execute(_SQL["record_of_command"].encode(), row)


def log(entry: AuditEntry) -> None:
    """The line of a change that is committed. It counts the targets, which may be ids of a customer's own."""
    _log.info(
        "audit",
        actor=entry.actor,
        action=entry.action,
        outcome=entry.outcome,
        targets=len(entry.targets),
        count=entry.count,
        request_id=entry.request_id,
    )


def find(
    connection: psycopg.Connection,
    *,
    actor: str | None,
    action: str | None,
    target: str | None,
    newer_sec: float | None,
    limit: int,
) -> list[AuditRow]:
    """The newest rows that match, newest first; None means any. For commands, so synchronous."""
    chosen = {"actor": actor, "action": action, "target": target, "newer_sec": newer_sec, "limit": limit}
    with connection.cursor(row_factory=class_row(AuditRow)) as cursor:
        return cursor.execute(_SQL["find"].encode(), chosen).fetchall()
