"""Databases of the tests: made, asked from outside the service, dropped."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

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


def as_superuser(stack: Stack, database_url: str) -> str:
    """The URL of the same database for the superuser."""
    return urlsplit(stack.postgres.admin_url)._replace(path=urlsplit(database_url).path).geturl()


def drop_database(stack: Stack, name: str) -> None:
    """As the superuser, if there is one: only that role may end an autovacuum worker in the database."""
    url = stack.postgres.admin_url if DATABASE_URL in stack.servers else stack.database_url
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def cloned_database(stack: Stack, template: str) -> Iterator[str]:
    """The URL of a new database with the template's content, which is dropped at the end."""
    name = f"reco_test_{secrets.token_hex(4)}"
    create_database(stack, name, template)
    try:
        yield url_of(stack, name)
    finally:
        drop_database(stack, name)


def create_database(stack: Stack, name: str, template: str = "template1") -> None:
    with psycopg.connect(stack.database_url, autocommit=True, connect_timeout=10) as connection:
        # The other strategy writes every page into the log, and takes three times the processor time.
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))


def url_of(stack: Stack, name: str) -> str:
    return urlsplit(stack.database_url)._replace(path=f"/{name}").geturl()
