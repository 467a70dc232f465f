"""A transaction whose change is recorded in the audit log: both are committed, or neither."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from app.adapters import audit
from app.adapters.audit import AuditedAction, AuditEntry
from app.adapters.postgres import Database
from app.http.context import RequestContext

if TYPE_CHECKING:
    from app.adapters.postgres import Connection


class Change:
    """A change that is being made on `connection`. One that comes to nothing is not recorded."""

    def __init__(self, connection: "Connection", context: RequestContext, action: AuditedAction) -> None:
        self.connection = connection
        self.entry: AuditEntry | None = None
        self._context = context
        self._action = action

    def made(self, targets: Sequence[str], outcome: str) -> None:
        """Names what was changed, and how."""
        self.entry = AuditEntry(
            actor=self._context.caller,
            action=self._action,
            targets=targets,
            outcome=outcome,
            request_id=self._context.request_id,
        )


@asynccontextmanager
async def change(database: Database, context: RequestContext, action: AuditedAction) -> AsyncIterator[Change]:
    """A transaction for one change. Raises `DependencyDown`."""
    async with database.connection() as connection, connection.transaction():
        made = Change(connection, context, action)
        yield made
        if made.entry is not None:
            await audit.record(connection, [made.entry])
    if made.entry is not None:
        audit.log(made.entry)
