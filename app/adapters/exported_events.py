"""Reads stored events between two marks: each event exactly once, also when its transaction commits late."""

from datetime import datetime, timedelta
from typing import Final

import psycopg
from msgspec import Struct

from app.adapters import sql
from app.errors import UserError

_SQL = sql.load(__file__)

LATE: Final = timedelta(hours=1)
"""An event is stored with the time at which its transaction began. None of the service's lasts nearly as long."""


class Mark(Struct, frozen=True):
    """A point in the history of the database. `snapshot` is Postgres' own text of it."""

    snapshot: str
    taken_at: datetime


def mark(connection: psycopg.Connection) -> Mark:
    """The mark of now. Raises `UserError` on a standby, whose snapshots do not name the running transactions."""
    row = connection.execute(_SQL["mark"]).fetchone()
    assert row is not None
    snapshot, taken_at, standby = row
    if standby:
        raise UserError("DATABASE_URL names a standby: an export by transactions needs the primary")
    return Mark(snapshot, taken_at)


def begin_of(connection: psycopg.Connection, since: Mark | None) -> datetime | None:
    """No event that `since` lacks was received before this time. None: there are no events."""
    if since is not None:
        return since.taken_at - LATE
    row = connection.execute(_SQL["first_received"]).fetchone()
    assert row is not None
    first: datetime | None = row[0]
    return first


def count(connection: psycopg.Connection, begin: datetime, end: datetime) -> int:
    """How many events were received from `begin` to before `end`."""
    row = connection.execute(_SQL["count"], {"begin": begin, "end": end}).fetchone()
    assert row is not None
    found: int = row[0]
    return found


def read(
    connection: psycopg.Connection,
    begin: datetime,
    end: datetime,
    *,
    since: Mark | None,
    upto: Mark,
    impressions: bool,
) -> list[tuple[datetime, str]]:
    """When each event of the window was received, and its JSON; those of `upto` without those of `since`.

    Impressions or all others. Events of before an erasure of their user are left out.
    """
    return connection.execute(
        _SQL["read"],
        {
            "begin": begin,
            "end": end,
            "impressions": impressions,
            "upto": upto.snapshot,
            "upto_at": upto.taken_at,
            "since": since and since.snapshot,
            "since_at": since and since.taken_at,
        },
    ).fetchall()
