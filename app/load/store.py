"""Queries Postgres for the load: how many events are pending, and whether all were stored and counted."""

import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from msgspec import Struct
from psycopg import Connection
from psycopg.rows import tuple_row

from app.adapters import sql
from app.core.database_url import for_libpq
from app.errors import UserError, describe
from app.load.endurance import TableSize
from app.load.jobs import States
from app.load.requests import ACCEPTED, REFUSED, UNKNOWN

_SQL = sql.load(__file__)
_CONNECT_TIMEOUT_SEC: Final = 5
_FETCH: Final = 10_000


class CheckResult(Struct, kw_only=True):
    """The client's history compared with the tables. `violations` is empty when every guarantee held."""

    sent: int
    accepted: int
    refused: int
    unknown: int
    stored: int
    consumed: int
    violations: list[str]


def count_events(database_url: str) -> int:
    """0 for an empty table, 1 for any other."""
    with _connected(database_url) as connection:
        return _number(connection, "count_events")


def count_outbox(database_url: str) -> int:
    """Rows that wait for a relay."""
    with _connected(database_url) as connection:
        return _number(connection, "count_outbox")


def pending(database_url: str) -> int:
    """Events that are not yet in the features."""
    with _connected(database_url) as connection:
        # The outbox is small and changes first; the other tables are large, and counted only when it is empty.
        return _number(connection, "count_outbox") or _number(connection, "count_unconsumed")


def table_sizes(database_url: str) -> list[TableSize]:
    """The largest first."""
    with _connected(database_url) as connection:
        return [TableSize(*row) for row in connection.cursor(row_factory=tuple_row).execute(_SQL["table_sizes"])]


def check(database_url: str, states: States, *, alone: bool) -> CheckResult:
    """Compares what the client was told with what is stored and counted; call it when all is quiet.

    `alone`: nothing else has written to this database, so its sums must match too.
    """
    sent = zlib.decompress(states.compressed)
    with _connected(database_url) as connection:
        stored = _numbers(connection, "event_ids", states.id_prefix, len(sent))
        consumed = _numbers(connection, "consumed_ids", states.id_prefix, len(sent))
        violations = _violations(sent, stored, consumed) + (_sums(connection) if alone else [])
    return CheckResult(
        sent=len(sent),
        accepted=sent.count(ACCEPTED),
        refused=sent.count(REFUSED),
        unknown=sent.count(UNKNOWN),
        stored=stored.count(1),
        consumed=consumed.count(1),
        violations=violations,
    )


def _violations(sent: bytes, stored: bytes, consumed: bytes) -> list[str]:
    kinds = Counter(zip(sent, stored, consumed, strict=True))
    counts = {
        "accepted, but not stored": sum(n for (state, kept, _), n in kinds.items() if state == ACCEPTED and not kept),
        "refused, but stored": sum(n for (state, kept, _), n in kinds.items() if state == REFUSED and kept),
        "stored, but not counted": sum(n for (_, kept, counted), n in kinds.items() if kept and not counted),
        "counted, but not stored": sum(n for (_, kept, counted), n in kinds.items() if counted and not kept),
    }
    return [f"{count} events {what}" for what, count in counts.items() if count]


def _sums(connection: Connection[tuple[int, ...]]) -> list[str]:
    violations = [
        f"{name}: {stored or 0} stored, {counted or 0} counted"
        for name, counted, stored in connection.execute(_SQL["totals"])
        if (counted or 0) != (stored or 0)
    ]
    row = connection.execute(_SQL["refused_rows"]).fetchone()
    assert row is not None
    violations += [
        f"{count} {what}" for what, count in zip(("dead outbox rows", "dead letters"), row, strict=True) if count
    ]
    return violations


def _numbers(connection: Connection[tuple[int, ...]], statement: str, prefix: str, count: int) -> bytes:
    """One byte for each event number, 1 where its id is in the table."""
    found = bytearray(count)
    with connection.transaction(), connection.cursor(name="ids") as cursor:
        cursor.itersize = _FETCH
        cursor.execute(_SQL[statement], {"prefix": prefix})
        for (event_id,) in cursor:
            found[int(str(event_id).removeprefix(prefix))] = 1
    return bytes(found)


def _number(connection: Connection[tuple[int, ...]], statement: str) -> int:
    row = connection.execute(_SQL[statement]).fetchone()
    assert row is not None
    return row[0]


@contextmanager
def _connected(database_url: str) -> Iterator[Connection[tuple[int, ...]]]:
    try:
        url = for_libpq(database_url)
        with psycopg.connect(url, connect_timeout=_CONNECT_TIMEOUT_SEC, autocommit=True) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise UserError(f"Postgres cannot be asked: {describe(error)}") from error
