"""The release before runs on today's schema: what an operator relies on who rolls a tag back.

That release is the newest tag `v…`; while there is none, it is the code as it was before the newest migration came.
"""

import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from app.adapters import migrations
from app.checks.client import Client
from app.checks.smoke import events
from tests.support.service import ROOT, Service, eventually, running


@pytest.fixture(scope="module")
def release_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its files, in a folder of their own."""
    reference = _git("describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD") or _before_the_newest_migration()
    if not reference:
        pytest.skip("no history of git here, so the release before is not known")
    archive = subprocess.run(["git", "archive", reference], cwd=ROOT, capture_output=True, check=True).stdout
    folder = tmp_path_factory.mktemp("release-before")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.fixture
def older(release_before: Path, environment: dict[str, str]) -> Iterator[Service]:
    """Its process, all roles, on a database that today's migrations made."""
    with running(environment, release_before) as service:
        yield service


@pytest.mark.slow
def test_the_release_before_runs_on_the_schema_of_today(
    older: Service, release_before: Path, environment: dict[str, str]
) -> None:
    assert not (release_before / ".git").exists()
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        applied = {name for (name,) in connection.execute("SELECT migration_id FROM migration_checksum").fetchall()}
        assert applied == {path.stem for path in migrations.DIRECTORY.glob("*.sql")}

        client = Client(older.url)
        for path, body in events("rollback"):
            answer = client.call("POST", path, body)
            assert answer.status == 202, answer

        def count(table: str) -> int:
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            return int(row[0]) if row else 0

        eventually(lambda: count("feature_event_consumed") == 5, 30, older.describe)
        assert count("events") == 5
        eventually(lambda: count("event_outbox") == 0, describe=older.describe)
        assert count("feature_consumer_dlq") == 0
    user = events("rollback")[0][1]["user_id"]
    assert client.call("GET", f"/reco?user_id={user}&session_id=s").status == 200
    eventually(lambda: older.readiness()["status"] == "ready", describe=older.describe)
    assert older.terminate() == 0


def _before_the_newest_migration() -> str:
    added = _git("log", "-1", "--diff-filter=A", "--format=%H", "--", "migrations/*.sql")
    return _git("rev-parse", "--verify", "--quiet", f"{added}^") if added else ""


def _git(*arguments: str) -> str:
    """The output of git; empty when it fails."""
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
