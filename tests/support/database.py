"""What stands in a database, asked from outside the service."""

from typing import Any

import psycopg


def ask(database_url: str, query: str) -> Any:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def stored(database_url: str) -> tuple[int, int]:
    """How many events there are, and how many wait in the outbox."""
    return ask(database_url, "SELECT count(*) FROM events"), ask(database_url, "SELECT count(*) FROM event_outbox")
