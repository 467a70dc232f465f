"""The backend of the cache of histories that an operator chose for all processes, in place of their settings."""

from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

import psycopg
from msgspec import Struct

from app.adapters import audit, sql

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

Backend = Literal["redis", "memory"]

_SQL: Final = sql.load(__file__)


class Choice(Struct, frozen=True):
    backend: Backend
    chosen_by: str
    chosen_at: datetime


async def read(connection: "Connection") -> Choice | None:
    """None when the settings decide."""
    row = await connection.fetchrow(_SQL["read"])
    return None if row is None else Choice(*row)


def choose(connection: psycopg.Connection, backend: Backend | None, *, by: str) -> None:
    """For the command, so synchronous. None leaves the decision to the settings of each process."""
    with connection.transaction():
        if backend is None:
            connection.execute(_SQL["leave_to_settings"].encode())
        else:
            connection.execute(_SQL["choose"].encode(), {"backend": backend, "by": by})
        audit.record_of_command(connection, "choose_cache", ["cache"], backend or "settings", actor=f"reco cache, {by}")
