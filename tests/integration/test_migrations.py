"""Forward only, once, and never a file that changed."""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from structlog.testing import capture_logs

from app.adapters import migrations, schema_check
from app.devstack import Stack
from app.devstack.ports import choose
from app.errors import DependencyDown, UserError
from tests.support.database import drop_database
from tests.support.service import ROOT, eventually

ALL = sorted(path.stem for path in migrations.DIRECTORY.glob("*.sql"))


@pytest.fixture
def empty_database(stack: Stack) -> Iterator[str]:
    name = f"reco_empty_{secrets.token_hex(4)}"
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield urlsplit(stack.database_url)._replace(path=f"/{name}").geturl()
    drop_database(stack, name)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A copy of the migrations that a test may change."""
    return Path(shutil.copytree(migrations.DIRECTORY, tmp_path / "migrations"))


def test_everything_is_applied_in_order_and_once(empty_database: str) -> None:
    assert migrations.migrate(empty_database) == ALL
    assert migrations.migrate(empty_database) == []
    assert schema_check.check(empty_database).pending == []


@pytest.mark.shows("reco migrate")
def test_processes_that_start_at_once_migrate_once(empty_database: str) -> None:
    command = [sys.executable, "-m", "app.cli", "migrate"]
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": empty_database}

    def run(_: int) -> str:
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    with ThreadPoolExecutor(4) as threads:
        outputs = list(threads.map(run, range(4)))
    assert sum(output.count("applied 0001") for output in outputs) == 1
    assert sum(output.startswith("0 migrations applied") for output in outputs) == 3


def test_a_changed_file_is_named_and_nothing_is_applied(empty_database: str, files: Path) -> None:
    migrations.migrate(empty_database, files)
    changed = files / f"{ALL[0]}.sql"
    changed.write_text(changed.read_text() + "\n-- changed\n")
    (files / "9999.later.sql").write_text(f"-- depends: {ALL[-1]}\nCREATE TABLE later (id integer);\n")
    with pytest.raises(UserError, match=rf"{ALL[0]}: changed after it was applied"):
        migrations.migrate(empty_database, files)
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT to_regclass('later')").fetchone() == (None,)


def test_a_migration_that_fails_leaves_nothing_behind(empty_database: str, files: Path) -> None:
    migrations.migrate(empty_database, files)
    bad = files / "9999.bad.sql"
    bad.write_text(f"-- depends: {ALL[-1]}\nCREATE TABLE half (id integer);\nSELECT 1/0;\n")
    with pytest.raises(UserError, match=r"9999\.bad failed and was rolled back"):
        migrations.migrate(empty_database, files)
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT to_regclass('half')").fetchone() == (None,)
    bad.write_text(f"-- depends: {ALL[-1]}\nCREATE TABLE whole (id integer);\n")
    assert migrations.migrate(empty_database, files) == ["9999.bad"]


def test_index_that_an_interrupted_migration_left_is_built_anew(empty_database: str, files: Path) -> None:
    later = ALL[ALL.index("0161.time-indexes") :]
    for name in later:
        (files / f"{name}.sql").unlink()
    migrations.migrate(empty_database, files)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("CREATE INDEX events_received ON events (session_id)")
    assert migrations.migrate(empty_database) == later
    assert schema_check.check(empty_database).errors == []


def test_migration_that_waits_for_a_table_keeps_nobody_from_it(empty_database: str, files: Path) -> None:
    """A dump reads the table for hours; whoever writes waits behind the migration, which waits for the dump."""
    migrations.migrate(empty_database, files)
    (files / "9999.longer.sql").write_text(f"-- depends: {ALL[-1]}\nALTER TABLE sessions ADD COLUMN longer text;\n")
    insert = "INSERT INTO sessions (session_id, user_id, started_ms) VALUES ('s1', 'ann', 1)"
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
    with ThreadPoolExecutor(1) as threads, psycopg.connect(empty_database, autocommit=True) as writing:
        with psycopg.connect(empty_database) as reading:
            reading.execute("SELECT count(*) FROM sessions")
            migrating = threads.submit(migrations.migrate, empty_database, files)
            eventually(lambda: writing.execute(waiting).fetchone() != (0,), 60)
            writing.execute("SET statement_timeout = '30s'")
            writing.execute(insert)
        assert migrating.result() == ["9999.longer"]


def test_migration_that_never_gets_its_lock_says_so(
    empty_database: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrations.migrate(empty_database, files)
    monkeypatch.setattr(migrations, "_LOCK_SEC", 0.0)
    (files / "9999.longer.sql").write_text(f"-- depends: {ALL[-1]}\nALTER TABLE sessions ADD COLUMN longer text;\n")
    with psycopg.connect(empty_database) as reading:
        reading.execute("SELECT count(*) FROM sessions")
        with pytest.raises(UserError, match=r"9999\.longer got no lock .* End the transaction that holds it"):
            migrations.migrate(empty_database, files)


def test_migration_that_is_no_transaction_says_what_becomes_of_it(empty_database: str, files: Path) -> None:
    bad = files / "9999.bad.sql"
    bad.write_text(f"-- transactional: false\n-- depends: {ALL[-1]}\nSELECT 1/0;\n")
    with pytest.raises(UserError, match=r"9999\.bad failed and begins anew with the next start: .*division by zero"):
        migrations.migrate(empty_database, files)


def test_what_an_index_that_is_built_concurrently_waits_for_is_told(
    empty_database: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "_TOLD_EVERY_SEC", 0.05)
    migrations.migrate(empty_database, files)
    (files / "9999.index.sql").write_text(
        f"-- transactional: false\n-- depends: {ALL[-1]}\nCREATE INDEX CONCURRENTLY later ON items (title);\n"
    )
    with psycopg.connect(empty_database) as old, ThreadPoolExecutor(1) as threads, capture_logs() as lines:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT count(*) FROM events")
        pid = old.info.backend_pid
        migrating = threads.submit(migrations.migrate, empty_database, files)
        try:
            told = eventually(lambda: [line for line in lines if line["event"] == "migration_waits"])
            assert not migrating.done()
        finally:
            old.rollback()
        assert migrating.result(timeout=60.0) == ["9999.index"]
    assert told[0]["migration"] == "9999.index"
    assert f"pg_terminate_backend({pid})" in told[0]["remedy"]


def test_an_older_release_runs_on_a_newer_schema(empty_database: str, files: Path) -> None:
    (files / "9999.newer.sql").write_text(f"-- depends: {ALL[-1]}\nCREATE TABLE newer (id integer);\n")
    migrations.migrate(empty_database, files)
    assert migrations.migrate(empty_database) == []


@pytest.mark.slow
def test_a_changed_file_ends_the_start_of_the_service(
    empty_database: str, kafka: str, redis_url: str, topic_prefix: str
) -> None:
    migrations.migrate(empty_database)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(
            "UPDATE migration_checksum SET sha256 = 'of another file' WHERE migration_id = %s", (ALL[0],)
        )
    ended = subprocess.run(
        [sys.executable, "-m", "app"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DATABASE_URL": empty_database,
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "KAFKA_TOPIC_PREFIX": topic_prefix,
            "ONLINE_CACHE_REDIS_URL": redis_url,
            "HTTP_PORT": str(choose()),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert f"{ALL[0]}: changed after it was applied" in ended.stderr


def test_without_postgres_it_says_so() -> None:
    with pytest.raises(DependencyDown, match="postgres"):
        migrations.migrate(f"postgresql://reco@127.0.0.1:{choose()}/reco")


def test_migrations_and_commands_take_longer_than_the_role_may(stack: Stack, empty_database: str, files: Path) -> None:
    name = urlsplit(empty_database).path[1:]
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} SET statement_timeout = 60000").format(sql.Identifier(name)))
    (files / "9999.limit.sql").write_text(
        f"-- depends: {ALL[-1]}\nCREATE TABLE limits AS SELECT current_setting('statement_timeout') AS value;\n"
    )
    migrations.migrate(empty_database, files)
    with migrations.connect(empty_database) as connection:
        assert connection.execute("SELECT value, current_setting('statement_timeout') FROM limits").fetchone() == (
            "0",
            "0",
        )
