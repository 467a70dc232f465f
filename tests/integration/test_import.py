"""`reco import` into a real database: everything once, whatever happens in between."""

import gzip
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import asyncpg
import msgspec
import psycopg
import pytest

from app.clock import clock
from app.demo.purchases import SAMPLE
from app.devstack import Stack
from app.errors import UserError
from app.importing.counts import ImportCounts, Watcher
from app.importing.database import open_database
from app.importing.mapping import ImportOptions
from app.importing.reader import detect
from app.importing.rows import BadRow
from app.importing.transfer import BATCH_ROWS, transfer
from tests.support.database import ask, stored
from tests.support.sample import SAMPLE_ROWS
from tests.support.service import ROOT, eventually, running

HEADER = "user,item,ts,type,title\n"


class Command:
    """`reco import` as a process of its own."""

    def __init__(self, database_url: str, *arguments: object, stdin: IO[bytes] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "import", *map(str, arguments)],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "DATABASE_URL": database_url},
            stdin=stdin,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> tuple[int, str]:
        """The exit code, and what stood on the screen."""
        _, screen = self.process.communicate(timeout=100)
        return self.process.returncode, screen


def run(database_url: str, *arguments: object) -> tuple[int, str]:
    return Command(database_url, *arguments).end()


def write_log(path: Path, rows: int) -> Path:
    lines = (f"u{number % 97},i{number % 89},{1_700_000_000 + number},view,t\n" for number in range(rows))
    path.write_text(HEADER + "".join(lines))
    return path


class Rejected(Watcher):
    def __init__(self) -> None:
        self.rows: list[BadRow] = []

    def rejected(self, rows: Any) -> None:
        self.rows += rows


async def import_here(
    database_url: str, path: Path, max_queued: int | None = None, **options: Any
) -> tuple[ImportCounts, Rejected]:
    """The same without the command around it."""
    counts, watcher = ImportCounts(), Rejected()
    database = open_database(database_url)
    try:
        await transfer(
            path,
            detect(path, ImportOptions()),
            database,
            counts,
            watcher,
            now_ms=clock.host_ms,
            latest_ms=clock.host_ms(),
            max_queued=max_queued,
            **options,
        )
    finally:
        await database.close(timeout_sec=1.0)
    return counts, watcher


@pytest.mark.slow
@pytest.mark.shows("reco import")
def test_the_sample_is_imported_once_however_often_it_runs(database_url: str, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects"
    code, screen = run(database_url, SAMPLE, "--no-wait", "--rejected", rejects)
    assert code == 0
    assert "rows read   27,384" in screen
    assert "imported    27,384" in screen
    assert stored(database_url) == (SAMPLE_ROWS, SAMPLE_ROWS)
    code, screen = run(database_url, SAMPLE, "--no-wait", "--rejected", rejects)
    assert (code, "duplicates  27,384" in screen) == (0, True), screen
    assert stored(database_url) == (SAMPLE_ROWS, SAMPLE_ROWS)
    assert not rejects.exists()
    assert ask(database_url, "SELECT count(*) FROM items") == 2_856
    assert ask(database_url, "SELECT title FROM items WHERE item_id = '22914'") == "BLUE COAT RACK PARIS FASHION"
    assert ask(database_url, "SELECT min(ts_ms) FROM events") == 1_291_192_440_000


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, *(pytest.param(how, marks=pytest.mark.slow) for how in (signal.SIGINT, signal.SIGTERM))]
)
def test_an_interrupted_import_goes_on_where_it_stopped(database_url: str, tmp_path: Path, how: signal.Signals) -> None:
    log = write_log(tmp_path / "log.csv", rows := 15_000)
    # No relay runs, so the import cannot get past this bound, however late the signal is.
    command = Command(database_url, log, "--max-queued", 5_000)
    eventually(lambda: stored(database_url)[0] > 0)
    command.process.send_signal(how)
    code, screen = command.end()
    before, queued = stored(database_url)
    assert before == queued < rows
    if how is signal.SIGINT:
        assert code == 130
        assert "Run the same command again" in screen
    code, screen = run(database_url, log, "--no-wait")
    assert (code, f"duplicates  {before:>6,}" in screen) == (0, True), screen
    assert stored(database_url) == (rows, rows)


@pytest.mark.slow
def test_with_the_service_running_it_waits_until_all_of_it_counts(environment: dict[str, str], tmp_path: Path) -> None:
    database_url = environment["DATABASE_URL"]
    rows = 3_000
    log = tmp_path / "log.csv"
    user_id = recent_sample(log, rows)
    with running(environment) as service:
        for _ in range(2):
            code, screen = run(database_url, log, "--max-queued", 1_000)
            assert code == 0, screen
            assert stored(database_url) == (rows, 0)
            assert ask(database_url, "SELECT count(*) FROM feature_event_consumed") == rows
            assert ask(database_url, "SELECT sum(purchases) FROM item_stats") == rows
        item_id = ask(database_url, "SELECT item_id FROM item_stats ORDER BY purchases DESC, item_id LIMIT 1")
        title = ask(database_url, f"SELECT title FROM items WHERE item_id = '{item_id}'")
        similar = service.client.get(f"/similar/{item_id}").json()["items"]
        assert similar
        assert all(item["title"] for item in similar)
        answer = service.client.get("/reco", params={"user_id": user_id}).json()
        assert "covisitation" in {item["source"] for item in answer["items"]}
        assert title


def recent_sample(log: Path, rows: int) -> str:
    """Writes the first rows of the sample as if the last had just happened; returns the last user."""
    header, *lines = gzip.decompress(SAMPLE.read_bytes()).decode().splitlines()[: 1 + rows]
    table = [line.split(",") for line in lines]
    shift = datetime.now(UTC) - datetime.fromisoformat(table[-1][0]) - timedelta(seconds=5)
    moved = [",".join([(datetime.fromisoformat(row[0]) + shift).isoformat(), *row[1:]]) for row in table]
    log.write_text("\n".join([header, *moved]) + "\n")
    return table[-1][1]


def test_bad_lines_are_kept_with_reasons_and_good_ones_imported(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(
        HEADER
        + "u,i,1700000000,view,t\nu,i,soon,view,t\nu,i\n,i,1700000000,view,t\nu,j,1700000000,refund,t\n"
        + "".join(f"u,k{number},1700000000,view,t\n" for number in range(3))
    )
    code, screen = run(database_url, log, "--no-wait")
    assert code == 0
    assert re.search(r"rejected +4 ", screen)
    kept = tmp_path / "log.csv.rejected.jsonl"
    assert [msgspec.json.decode(line)["line"] for line in kept.read_bytes().splitlines()] == [3, 4, 5, 6]
    assert stored(database_url) == (4, 4)

    code, _ = run(database_url, log, "--no-wait", "--strict", "--map-type", "refund=ignore")
    assert code == 1
    log.write_text(HEADER + "u,i,1700000000,view,t\nu,i,1700000001,view,t\n")
    code, _ = run(database_url, log, "--no-wait", "--strict")
    assert code == 0
    assert stored(database_url) == (5, 5)
    assert not kept.exists()


def test_an_unclear_file_ends_the_import_with_one_message(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("a,b\n1,2\n")
    code, screen = run(database_url, log)
    assert code == 2
    assert "--map user_id=COLUMN" in screen
    assert "Traceback" not in screen
    code, screen = run(database_url, write_log(log, 1), "--rejected", log)
    assert code == 2
    assert "that is the file to import" in screen
    assert stored(database_url) == (0, 0)


def test_a_missing_database_is_an_error_with_its_address(tmp_path: Path) -> None:
    code, screen = run("postgresql://reco:secret@127.0.0.1:1/reco", write_log(tmp_path / "log.csv", 1))
    assert code == 2
    assert "Check DATABASE_URL and that the server is up" in screen
    assert "secret" not in screen


async def test_without_a_relay_it_stops_at_the_bound_and_loses_nothing(database_url: str, tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", 20_000)
    with pytest.raises(UserError, match="No relay publishes events"):
        await import_here(database_url, log, max_queued=3_000, still_sec=0.5)
    events, queued = stored(database_url)
    assert 3_000 < events == queued <= 3_300 + BATCH_ROWS
    with pytest.raises(UserError, match="No relay publishes events"):
        await import_here(database_url, log, max_queued=3_000, still_sec=0.5)
    assert stored(database_url)[1] <= 3_300 + 2 * BATCH_ROWS
    counts, _ = await import_here(database_url, log)
    assert counts.imported + counts.duplicates == 20_000
    assert stored(database_url) == (20_000, 20_000)


@pytest.mark.slow
async def test_a_relay_that_is_behind_pauses_the_import(
    database_url: str, pool: "asyncpg.Pool[asyncpg.Record]", tmp_path: Path
) -> None:
    """A relay that takes some at a time: the outbox stays within its bound, and all arrives."""
    most = 0

    class Relay(Watcher):
        def moved(self, counts: ImportCounts) -> None:
            nonlocal most
            with psycopg.connect(database_url, autocommit=True) as connection:
                row = connection.execute("SELECT count(*) FROM event_outbox").fetchone()
                assert row is not None
                most = max(most, row[0])
                connection.execute(
                    "DELETE FROM event_outbox WHERE id IN (SELECT id FROM event_outbox ORDER BY id LIMIT 500)"
                )

    counts = ImportCounts()
    log = write_log(tmp_path / "log.csv", 20_000)
    database = open_database(database_url)
    now = clock.host_ms
    await transfer(
        log, detect(log, ImportOptions()), database, counts, Relay(), now_ms=now, latest_ms=now(), max_queued=3_000
    )
    await database.close(timeout_sec=1.0)
    assert counts.imported == 20_000
    assert 3_000 < most <= 3_300 + BATCH_ROWS


@pytest.mark.slow
def test_a_crash_of_postgres_pauses_the_import(breakable_stack: Stack, database_url: str, tmp_path: Path) -> None:
    rows = 30_000
    command = Command(database_url, write_log(tmp_path / "log.csv", rows), "--no-wait")
    eventually(lambda: stored(database_url)[0] > 0)
    breakable_stack.postgres.kill()
    breakable_stack.postgres.start()
    code, screen = command.end()
    assert code == 0, screen
    assert stored(database_url) == (rows, rows)


async def test_ids_of_the_file_tell_duplicates_from_conflicts(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    event = {
        "event_id": "order-1-line-1",
        "user_id": "u",
        "item_id": "i",
        "ts": 1_700_000_000,
        "event_type": "purchase",
    }
    other = event | {"item_id": "j"}
    log.write_bytes(b"\n".join(map(msgspec.json.encode, [event, event, other])))
    for imported in (1, 0):
        counts, watcher = await import_here(database_url, log)
        assert (counts.imported, counts.duplicates, counts.rejected) == (imported, 2 - imported, 1)
        assert [row.line for row in watcher.rows] == [3]
        assert "order-1-line-1 is stored already with other content" in watcher.rows[0].reason


async def test_a_title_of_the_catalogue_stays(
    database_url: str, pool: "asyncpg.Pool[asyncpg.Record]", tmp_path: Path
) -> None:
    await pool.execute("INSERT INTO items (item_id, title) VALUES ('i', 'The real title'), ('j', NULL)")
    log = tmp_path / "log.csv"
    log.write_text(HEADER + "u,i,1700000000,view,other\nu,j,1700000000,view, new\tone \nu,k,1700000000,view,\n")
    await import_here(database_url, log)
    found = await pool.fetch("SELECT item_id, title FROM items ORDER BY item_id")
    assert [tuple(row) for row in found] == [("i", "The real title"), ("j", "new one")]


async def test_two_imports_of_one_file_at_once_count_everything_once(database_url: str, tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", 20_000)
    commands = [Command(database_url, log, "--no-wait", "--rejected", tmp_path / name) for name in ("a", "b")]
    for command in commands:
        code, screen = command.end()
        assert code == 0, screen
    assert stored(database_url) == (20_000, 20_000)
