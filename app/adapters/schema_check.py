"""Checks that the migrations are in order, match what was applied, and produce the live schema.

The expected schema is built in a separate schema inside a transaction that is rolled back, and compared with the live
one part by part. Nothing is changed, and no table of the service is locked.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import psycopg
from msgspec import Struct
from psycopg import sql

from app.adapters import migrations
from app.adapters import sql as named
from app.errors import DependencyDown, describe

_SQL: Final = named.load(__file__)
_SCRATCH: Final = "reco_schema_check"
_NAME: Final = re.compile(r"(\d{4})\.[a-z0-9-]+")
_DEPENDS: Final = re.compile(r"^-- depends:[ \t]*(.*)$", re.MULTILINE)

# (table, kind, name) → definition; kind is table, column, constraint or index.
DatabaseSchema = dict[tuple[str, str, str], str]


class Findings(Struct, frozen=True):
    """`errors` must be fixed; `pending` files are not applied yet; `newer` ones were applied by a later release."""

    errors: list[str]
    pending: list[str]
    newer: list[str]


def check(database_url: str, directory: Path = migrations.DIRECTORY) -> Findings:
    """Compares the files, the applied migrations and the live schema. Raises `DependencyDown`."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(directory.glob("*.sql"))}
    found = Findings(order_errors(texts), pending=[], newer=[])
    try:
        with migrations.connect(database_url) as connection:
            _compare(connection, texts, migrations.checksums(directory), found)
    except psycopg.errors.InsufficientPrivilege as error:
        found.errors.append(
            "The live schema was not compared: the user of DATABASE_URL cannot create a schema to compare with, "
            f"or may not read its tables. Run this as their owner ({describe(error)})"
        )
    except psycopg.OperationalError as error:
        raise DependencyDown("postgres", describe(error)) from error
    return found


def _compare(
    connection: psycopg.Connection, texts: Mapping[str, str], files: Mapping[str, str], found: Findings
) -> None:
    """`files`: the checksum of each."""
    applied = migrations.applied_checksums(connection)
    found.pending.extend(name for name in files if name not in applied)
    found.newer.extend(sorted(set(applied) - set(files)))
    found.errors.extend(
        f"{name}: the file changed after it was applied; restore it, and write a new migration instead"
        for name, checksum in applied.items()
        if name in files and files[name] != checksum
    )
    try:
        expected = _expected_schema(connection, [texts[name] for name in texts if name in applied])
    except (psycopg.errors.InsufficientPrivilege, psycopg.OperationalError):
        raise
    except psycopg.Error as error:
        found.errors.append(f"The applied files do not run on an empty schema: {describe(error)}")
    else:
        found.errors.extend(drift(expected, _read_schema(connection), extra_is_error=not found.newer))


def order_errors(texts: Mapping[str, str]) -> list[str]:
    """Errors in the files: names, numbers and the chain of `-- depends:`; `texts` in order of names."""
    errors = []
    numbers: dict[str, str] = {}
    for name, text in texts.items():
        match = _NAME.fullmatch(name)
        if not match:
            errors.append(f"{name}: a migration is named NNNN.what-it-does.sql, in lower case")
        elif other := numbers.get(match[1]):
            errors.append(f"{name}: has the same number as {other}")
        depends = _DEPENDS.search(text)
        named_ones = depends[1].split() if depends else []
        if bool(named_ones) != bool(numbers) or not set(named_ones) <= set(numbers.values()):
            errors.append(
                f"{name}: needs a line `-- depends:` that names an earlier migration; in the first one it names none"
            )
        numbers[match[1] if match else name] = name
    return errors


def drift(expected: DatabaseSchema, live: DatabaseSchema, *, extra_is_error: bool) -> list[str]:
    """What the live schema lacks, defines differently, or (`extra_is_error`) has in addition."""
    errors = []
    for part, definition in expected.items():
        table, kind, _ = part
        if part not in live:
            if kind == "table" or (table, "table", table) in live:
                errors.append(f"{_label(part)}: missing; it should be {definition or 'present'}")
        elif live[part] != definition:
            errors.append(f"{_label(part)}: is {live[part] or 'plain'}; it should be {definition or 'plain'}")
    if extra_is_error:
        for part in live:
            table, kind, _ = part
            if part not in expected and (kind == "table" or (table, "table", table) in expected):
                errors.append(f"{_label(part)}: not made by any migration")
    return errors


def _label(part: tuple[str, str, str]) -> str:
    table, kind, name = part
    return f"table {table}" if kind == "table" else f"{kind} {name} of {table}"


def _expected_schema(connection: psycopg.Connection, texts: Sequence[str]) -> DatabaseSchema:
    with connection.transaction(force_rollback=True):
        scratch = sql.Identifier(_SCRATCH)
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(scratch))
        connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(scratch))
        for text in texts:
            # An index cannot be built concurrently inside a transaction; on an empty table it is the same index.
            connection.execute(text.replace(" CONCURRENTLY", "").encode())
        return _read_schema(connection)


def _read_schema(connection: psycopg.Connection) -> DatabaseSchema:
    rows = connection.execute(_SQL["describe"].encode()).fetchall()
    return {(table, kind, name): definition for table, kind, name, definition in rows}
