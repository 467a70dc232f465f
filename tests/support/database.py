"""What stands in a database, asked from outside the service."""

from typing import Any

import psycopg
from psycopg import sql

from app.devstack import Stack
from app.devstack.stack import DATABASE_URL


def ask(database_url: str, query: str) -> Any:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def stored(database_url: str) -> tuple[int, int]:
    """How many events there are, and how many wait in the outbox."""
    return ask(database_url, "SELECT count(*) FROM events"), ask(database_url, "SELECT count(*) FROM event_outbox")


def drop_database(stack: Stack, name: str) -> None:
    """As the superuser, if there is one: only that role may end an autovacuum worker in the database."""
    url = stack.postgres.admin_url if DATABASE_URL in stack.servers else stack.database_url
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
