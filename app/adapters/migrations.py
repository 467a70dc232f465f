"""Forward-only migrations: yoyo reads and orders the files, an advisory lock makes several starting processes take
turns, and the checksum of every applied file is kept and compared.

By default yoyo commits a migration and records it in a second transaction: a process killed in between leaves a schema
on which nothing runs. Here both are one transaction. yoyo's lock is a row that such a process leaves behind, and its
hash covers only the file's name: hence the advisory lock and `migration_checksum`.
"""

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import psycopg
import structlog
import yoyo
from psycopg.conninfo import conninfo_to_dict
from yoyo.backends import DatabaseBackend
from yoyo.migrations import Migration, MigrationList

from app.adapters import poolers, sql
from app.adapters.postgres_errors import READ_ONLY
from app.core.database_url import for_libpq
from app.errors import DependencyDown, UserError, describe

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_log = structlog.get_logger(__name__)

_SQL: Final = sql.load(__file__)

# Beside the package `app` wherever that is installed, and not a folder `migrations` that a working folder may have.
DIRECTORY: Final = Path(str(resources.files("app"))).parent / "migrations"

# Names its sessions in pg_stat_activity.
_APPLICATION: Final = "reco migrate"
_LOCK_KEY: Final = 7_236_351  # an arbitrary number that nothing else in the database locks
_LOCK_SEC: Final = 120.0
_LOCK_POLL_SEC: Final = 0.2
# The service waits for a migration so long at most, and works in the pauses.
_TABLE_LOCK: Final = "1s"
_TABLE_PAUSE_SEC: Final = 1.0
# An index that is built concurrently waits for every transaction that is open, however long, and nothing else says so.
_TOLD_EVERY_SEC: Final = 10.0
# Seconds for each host; libpq would wait minutes for a silent one, and hours for one that falls silent later. A
# database made without a locale reports SQL_ASCII; psycopg would then return bytes for text.
_OPTIONS: Final[Mapping[str, Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 14_000,
    "client_encoding": "utf8",
}


def migrate(database_url: str, directory: Path = DIRECTORY) -> list[str]:
    """Applies what is missing and returns the ids applied.

    Raises `UserError` when an applied file has changed or a migration fails, `DependencyDown` without Postgres.
    """
    try:
        return _migrate(database_url, directory)
    except psycopg.errors.InsufficientPrivilege as error:
        raise UserError(
            f"The user of DATABASE_URL may not migrate: {describe(error)}. Migrate as the owner of the tables"
        ) from error
    except psycopg.OperationalError as error:
        raise DependencyDown("postgres", describe(error)) from error


def _migrate(database_url: str, directory: Path) -> list[str]:
    with _locked(database_url) as connection:
        if connection.execute("SHOW transaction_read_only").fetchone() == ("on",):
            raise DependencyDown("postgres", READ_ONLY)
        _check_applied(connection, directory)
        backend = yoyo.get_backend(_yoyo_url(database_url))
        try:
            backend.execute(_SQL["take_time"])
            pending: MigrationList = backend.to_apply(yoyo.read_migrations(str(directory)))
            ids = [migration.id for migration in pending]
            for migration in pending:
                with _telling(connection, backend.connection.info.backend_pid, migration.id):
                    _apply(backend, migration)
        finally:
            backend.connection.close()
        _remember(connection, directory)
    return ids


async def waits_for(connection: "Connection") -> str | None:
    """Whom a migration of this database waits for, of this process or another one; None while it waits for nobody."""
    row = await connection.fetchrow(_SQL["migration_waits"], _APPLICATION)
    if row is None:
        return None
    wanted, holder, user, application = row
    return (
        f"{wanted}, which the database user {user}, application {application!r}, holds: wait for the end of its "
        f"transaction, or end it: SELECT pg_terminate_backend({holder})"
    )


def connect(database_url: str, application: str = "reco") -> psycopg.Connection:
    """A connection in autocommit mode, with a session of its own and time for long statements; the caller closes it.

    Raises `DependencyDown`, and `UserError` behind a pooler in transaction mode: locks and settings would stay with
    whatever process of the server has them.
    """
    connection = open_connection(database_url, application)
    try:
        if poolers.is_pooled(connection):
            with open_connection(database_url) as another:
                poolers.check_session(connection, another)
        connection.execute(_SQL["take_time"].encode())
    except BaseException:
        connection.close()
        raise
    return connection


def open_connection(database_url: str, application: str = "reco") -> psycopg.Connection:
    """As `connect`, behind any pooler."""
    try:
        return psycopg.connect(for_libpq(database_url), autocommit=True, application_name=application, **_OPTIONS)
    except psycopg.OperationalError as error:
        raise DependencyDown("postgres", poolers.refusal(error) or describe(error)) from error
    except psycopg.ProgrammingError as error:
        raise UserError(f"The options at the end of DATABASE_URL are not usable: {describe(error)}") from error


def _apply(backend: DatabaseBackend, migration: Migration) -> None:
    """Runs one file and records it, in one transaction unless the file asks for none.

    A transaction that does not get a lock soon is begun anew: whoever comes after it waits behind it.
    """
    backend.ensure_internal_schema_updated()
    migration.load()
    try:
        if not migration.use_transactions:
            migration.process_steps(backend, "apply")
            backend.mark_one(migration, log=False)
            return
        until = time.monotonic() + _LOCK_SEC
        while True:
            try:
                with backend.transaction():
                    backend.execute(f"SET LOCAL lock_timeout = '{_TABLE_LOCK}'")
                    migration.process_steps(backend, "apply")
                    backend.mark_one(migration, log=False)
                return
            except psycopg.errors.LockNotAvailable as error:
                if time.monotonic() >= until:
                    raise UserError(
                        f"Migration {migration.id} got no lock in {_LOCK_SEC:g} s and was rolled back: "
                        f"{describe(error)}. End the transaction that holds it (see pg_stat_activity), and start again"
                    ) from error
                time.sleep(_TABLE_PAUSE_SEC)
    except psycopg.Error as error:
        left = "was rolled back" if migration.use_transactions else "begins anew with the next start"
        raise UserError(f"Migration {migration.id} failed and {left}: {describe(error)}") from error


@contextmanager
def _telling(connection: psycopg.Connection, pid: int, migration: str) -> Iterator[None]:
    """Logs, again and again, which transactions the migration in the process `pid` of Postgres waits for."""
    ended = threading.Event()

    def tell() -> None:
        with suppress(psycopg.Error):  # what is wrong with the server, the migration tells
            while not ended.wait(_TOLD_EVERY_SEC):
                for holder, user, application, open_sec in connection.execute(_SQL["waits_for"].encode(), {"pid": pid}):
                    _log.warning(
                        "migration_waits",
                        migration=migration,
                        reason=f"a transaction is open: of the database user {user}, application {application!r}",
                        open_sec=open_sec,
                        remedy=f"wait for its end, or end it: SELECT pg_terminate_backend({holder})",
                    )

    thread = threading.Thread(target=tell, name="migration_waits", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _locked(database_url: str) -> Iterator[psycopg.Connection]:
    with connect(database_url, _APPLICATION) as connection:
        until = time.monotonic() + _LOCK_SEC
        # In statements that end at once: an index that is built concurrently waits for all that began before.
        while connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK_KEY,)).fetchone() == (False,):
            if time.monotonic() >= until:
                raise UserError(
                    f"Another process has been migrating for {_LOCK_SEC:g} s; look in pg_stat_activity for sessions "
                    f"with the application_name {_APPLICATION!r}"
                )
            time.sleep(_LOCK_POLL_SEC)
        yield connection


def _check_applied(connection: psycopg.Connection, directory: Path) -> None:
    files = checksums(directory)
    errors = []
    for name, checksum in applied_checksums(connection).items():
        if name not in files:
            # A newer release migrated further: its migrations are additive by rule, so this release still runs.
            continue
        if checksum and files[name] != checksum:
            errors.append(f"{name}: changed after it was applied; restore it, and write a new migration instead")
    if errors:
        raise UserError("The migrations do not match the database:\n" + "\n".join(f"  - {error}" for error in errors))


def applied_checksums(connection: psycopg.Connection) -> dict[str, str]:
    """Migration id → checksum of the file that was applied."""
    if connection.execute("SELECT to_regclass('migration_checksum')").fetchone() == (None,):
        return {}
    rows = connection.execute("SELECT migration_id, sha256 FROM migration_checksum ORDER BY migration_id")
    return dict(rows.fetchall())


def _remember(connection: psycopg.Connection, directory: Path) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO migration_checksum (migration_id, sha256) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            list(checksums(directory).items()),
        )


def checksums(directory: Path) -> dict[str, str]:
    return {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(directory.glob("*.sql"))}


def _yoyo_url(database_url: str) -> str:
    """yoyo takes the part for the host apart in its own way, for one host; parameters it hands on to libpq."""
    parameters = {**conninfo_to_dict(for_libpq(database_url)), **_OPTIONS, "application_name": _APPLICATION}
    return f"postgresql+psycopg:///?{urlencode(parameters)}"
