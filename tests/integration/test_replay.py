"""The runbook's commands, as it spells them, against a real Postgres."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence

import msgspec
import psycopg
import pytest
from click.testing import CliRunner, Result

from app.cli import main
from tests.support.pipeline import database
from tests.support.service import ROOT
from workers.uncounted import UncountedEvents

OUTBOX = "src/replay_outbox.py"
DLQ = "src/replay_feature_consumer_dlq.py"


def run(database_url: str, *arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": database_url, "USER": "op", "LOGNAME": "op"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def reco(database_url: str, *arguments: str) -> Result:
    """In this process, which saves the imports of a new one."""
    environment = {"DATABASE_URL": database_url, "USER": "op", "LOGNAME": "op"}
    return CliRunner(env=environment).invoke(main, arguments)


@pytest.fixture
def rows(database_url: str) -> "psycopg.Connection[tuple[object, ...]]":
    connection = psycopg.connect(database_url, autocommit=True)
    connection.execute(
        "INSERT INTO event_outbox (event_id, topic, message_key, payload, status, attempts, replays, failed_at, "
        "last_error) SELECT 'dead-' || n, CASE WHEN n % 2 = 0 THEN 'even' ELSE 'odd' END, 'ann', '{}', 'dead', 25, "
        "CASE WHEN n > 8 THEN 3 ELSE 0 END, now() - n * interval '1 hour', 'MessageSizeTooLargeError' "
        "FROM generate_series(1, 10) AS n"
    )
    connection.execute(
        "INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, message_key, value, "
        "event_id, traceparent, error_kind, error, attempts, replays) SELECT 'odd', 0, n, 1, '\\xff', '\\x00fe', "
        "'letter-' || n, 'trace', 'decode', 'Invalid JSON', 1, CASE WHEN n = 5 THEN 3 ELSE 0 END "
        "FROM generate_series(1, 5) AS n"
    )
    return connection


def statuses(connection: "psycopg.Connection[tuple[object, ...]]", table: str) -> dict[object, object]:
    found: Sequence[tuple[object, ...]] = connection.execute(
        f"SELECT status, count(*) FROM {table} GROUP BY status".encode()
    ).fetchall()
    return {row[0]: row[1] for row in found}


@pytest.mark.slow
@pytest.mark.shows("reco replay outbox")
def test_dead_rows_go_back_to_the_relay_a_limit_at_a_time(
    database_url: str, rows: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    preview = run(database_url, OUTBOX, "--limit", "1000", "--dry-run")
    assert preview.returncode == 1
    assert "8 would be sent again" in preview.stdout
    assert statuses(rows, "event_outbox") == {"dead": 10}

    some = run(database_url, OUTBOX, "--limit", "3")
    assert (some.returncode, "3 sent again" in some.stdout) == (0, True), some.stderr
    assert statuses(rows, "event_outbox") == {"dead": 7, "pending": 3}

    rest = run(database_url, OUTBOX, "--limit", "1000")
    assert rest.returncode == 1
    assert "5 sent again" in rest.stdout
    assert "2 came back 3 times or more" in rest.stdout
    forced = run(database_url, OUTBOX, "--limit", "1000", "--force")
    assert forced.returncode == 0
    assert statuses(rows, "event_outbox") == {"pending": 10}
    assert rows.execute("SELECT DISTINCT attempts FROM event_outbox").fetchall() == [(0,)]
    assert run(database_url, OUTBOX, "--limit", "1000").stdout.startswith("0 sent again")
    rows.close()


def test_letters_that_may_be_counted_without_a_dedupe_row_are_not_sent_again(
    database_url: str, rows: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    """RETENTION_DEDUPE_DAYS may be 14, and resolved letters be kept for longer."""
    replayed = {1: ("sent again", 15), 2: ("sent again", 13), 3: ("already counted", 1)}
    with rows:
        for number, (resolution, days) in replayed.items():
            rows.execute(
                "UPDATE feature_consumer_dlq SET status = 'replayed', resolution = %s, "
                "resolved_at = now() - make_interval(days => %s) WHERE event_id = %s",
                (resolution, days, f"letter-{number}"),
            )
        rows.execute("DELETE FROM event_outbox")
        sent = run(database_url, DLQ, "--status", "replayed", "--limit", "100", "--force")
        assert "1 sent again" in sent.stdout, sent.stderr
        assert rows.execute("SELECT event_id FROM event_outbox").fetchall() == [("letter-2",)]


@pytest.mark.slow
def test_dead_rows_are_chosen_by_topic_age_error_and_id(
    database_url: str, rows: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    def would(*filters: str) -> str:
        return run(database_url, OUTBOX, "--dry-run", "--force", *filters).stdout.split()[0]

    assert would("--topic", "even") == "5"
    assert would("--older-than", "330m") == "5"
    assert would("--newer-than", "150m") == "2"
    assert would("--error", "toolarge") == "10"
    assert would("--error", "authorization") == "0"
    first = rows.execute("SELECT min(id) FROM event_outbox").fetchone()
    assert first is not None
    assert would("--id", str(first[0]), "--id", "999999") == "1"
    assert run(database_url, OUTBOX, "--older-than", "soon").returncode == 2
    rows.close()


@pytest.mark.shows("reco replay dlq")
def test_dead_letters_go_through_the_outbox_with_their_bytes_and_only_once(
    database_url: str, rows: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    rows.execute("INSERT INTO feature_event_consumed (event_id) VALUES ('letter-2')")
    rows.execute("DELETE FROM event_outbox")
    sent = run(database_url, DLQ, "--status", "pending", "--limit", "100")
    assert sent.returncode == 1, sent.stderr
    assert "3 sent again" in sent.stdout
    assert "1 had been counted meanwhile" in sent.stdout
    assert "1 came back 3 times or more" in sent.stdout
    queued = rows.execute("SELECT event_id, raw, replays, traceparent FROM event_outbox ORDER BY id").fetchall()
    assert queued == [(f"letter-{number}", b"\x00\xfe", 1, "trace") for number in (1, 3, 4)]
    assert statuses(rows, "feature_consumer_dlq") == {"replayed": 4, "pending": 1}
    again = run(database_url, DLQ, "--status", "pending", "--limit", "100")
    assert "0 sent again" in again.stdout
    assert rows.execute("SELECT count(*) FROM event_outbox").fetchone() == (3,)
    rows.close()


@pytest.mark.shows(
    "reco outbox list", "reco outbox show", "reco outbox discard", "reco dlq list", "reco dlq show", "reco dlq discard"
)
def test_one_looks_before_one_acts_and_a_discard_says_who_and_why(
    database_url: str, rows: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    for kind, table in (("outbox", "event_outbox"), ("dlq", "feature_consumer_dlq")):
        first = rows.execute(f"SELECT min(id) FROM {table}".encode()).fetchone()
        assert first is not None
        row_id = str(first[0])
        listed = reco(database_url, kind, "list", "--limit", "2")
        assert listed.exit_code == 0, listed.output
        assert len(listed.stdout.splitlines()) == 2
        failed = {"at": "2026-11-27T07:00:00+00:00", "task": "t", "process": "host-1", "replays": 1, "error": "big"}
        rows.execute(f"UPDATE {table} SET errors = %s WHERE id = {row_id}".encode(), [json.dumps([failed])])
        shown = reco(database_url, kind, "show", row_id).stdout
        assert "status" in shown
        assert "attempt: 2026-11-27T07:00:00 t host-1, replays=1: big" in shown
        objects = [msgspec.json.decode(line) for line in reco(database_url, kind, "list", "--json").stdout.splitlines()]
        assert row_id in {str(row["id"]) for row in objects}
        assert msgspec.json.decode(reco(database_url, kind, "show", row_id, "--json").stdout)["topic"]
        assert reco(database_url, kind, "show", "999999").exit_code == 2
        assert reco(database_url, kind, "discard", row_id).exit_code == 2
        assert reco(database_url, kind, "discard", row_id, "--reason", "a test").exit_code == 0
        kept = rows.execute(
            f"SELECT status, resolution, resolved_by IS NOT NULL FROM {table} WHERE id = {row_id}".encode()
        ).fetchone()
        assert kept == ("discarded", "a test", True)
        assert reco(database_url, kind, "discard", row_id, "--reason", "again").exit_code == 2
    assert run(database_url, DLQ, "--status", "pending", "--dry-run").stdout.startswith("3 would")
    rows.close()


@pytest.mark.shows("reco replay events")
def test_events_that_were_lost_behind_the_outbox_are_counted(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at) "
            "SELECT 'event-' || n, 'watch', 'ann', 's', 1, '', '{}', now() - interval '1 hour' "
            "FROM generate_series(1, 3) AS n"
        )
        connection.execute("INSERT INTO feature_event_consumed (event_id) VALUES ('event-1')")
        would = reco(database_url, "replay", "events", "--dry-run", "--json").stdout
        assert would == '{"requeued":2,"dry_run":true}\n'
        assert "2 events would be requeued" in reco(database_url, "replay", "events", "--dry-run").stdout
        assert "2 events were requeued" in reco(database_url, "replay", "events").stdout
        assert "0 events were requeued" in reco(database_url, "replay", "events").stdout
        assert connection.execute("SELECT DISTINCT topic FROM event_outbox").fetchall() == [("recsys.watches.v1",)]
    assert reco(database_url, "replay", "events", "--newer-than", "30d").exit_code == 2


async def test_every_event_that_is_told_as_uncounted_is_sent_again(database_url: str) -> None:
    """Also one of some days ago, and one that was a dead letter and was lost when it was sent again."""
    ages_days = {"lost": 0.1, "old": 6.9, "replayed": 0.1, "waits": 0.1, "given-up": 0.1}
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.cursor().executemany(
            "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at) "
            "VALUES (%s, 'watch', 'ann', 's', 1, '', '{}', now() - %s * interval '1 day')",
            list(ages_days.items()),
        )
        connection.execute(
            "INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, event_id, status, "
            "error_kind, error, attempts) VALUES ('t', 0, 1, 1, 'replayed', 'replayed', 'data', 'e', 1), "
            "('t', 0, 2, 1, 'waits', 'pending', 'data', 'e', 1), "
            "('t', 0, 3, 1, 'given-up', 'discarded', 'data', 'e', 1)"
        )
        async with database(database_url) as opened:
            check = UncountedEvents(opened, within_sec=30.0)
            while await check.look() < 3:  # a turn is short, and seven days are many steps
                pass
        assert "3 events were requeued" in reco(database_url, "replay", "events").stdout
        sent = connection.execute("SELECT event_id FROM event_outbox ORDER BY event_id").fetchall()
    assert sent == [("lost",), ("old",), ("replayed",)]


def test_what_is_sent_again_keeps_its_place_before_or_after_an_erasure(database_url: str) -> None:
    """ann was erased once, and zoe never. The last two rows are an older release's, which kept no count."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO user_erasures (user_id, erased_at) VALUES ('ann', now() - interval '2 hours')")
        connection.execute(
            "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, erasures, "
            "received_at) SELECT event_id, 'watch', user_id, 's', 1, '', '{}', erasures, now() - hours * interval "
            "'1 hour' FROM (VALUES ('before', 'ann', 0, 1), ('after', 'ann', 1, 1), ('zoe', 'zoe', 0, 1), "
            "('old-before', 'ann', NULL, 3), ('old-after', 'ann', NULL, 1)) AS e (event_id, user_id, erasures, hours)"
        )
        connection.execute(
            "INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, message_key, value, "
            "event_id, error_kind, error, attempts, erasures) SELECT 't', 0, n, 1, 'ann', '{}', 'letter-' || n, "
            "'decode', 'Invalid JSON', 1, nullif(n, 0) FROM generate_series(0, 1) AS n"
        )
        assert "3 events were requeued" in reco(database_url, "replay", "events").stdout
        assert "2 sent again" in run(database_url, DLQ, "--status", "pending", "--limit", "100").stdout
        sent = connection.execute("SELECT event_id, erasures FROM event_outbox ORDER BY event_id").fetchall()
        assert sent == [("after", 1), ("letter-0", None), ("letter-1", 1), ("old-after", 1), ("zoe", 0)]


def test_a_python_without_the_dependencies_finds_the_checkouts_own(
    database_url: str, tmp_path: "os.PathLike[str]"
) -> None:
    bare = os.path.join(tmp_path, "bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True, timeout=60)
    answer = run(database_url, OUTBOX, "--limit", "1000", python=os.path.join(bare, "bin", "python"))
    if (ROOT / ".venv" / "bin" / "python").exists():
        assert (answer.returncode, answer.stdout.splitlines()[0]) == (0, "0 sent again."), answer.stderr
    else:
        assert answer.returncode == 1
        assert "scripts/bootstrap.sh" in answer.stderr


def test_without_a_database_it_says_so_in_one_message() -> None:
    for url in ("", "postgresql://reco@127.0.0.1:1/reco"):
        answer = run(url, OUTBOX, "--limit", "1000")
        assert answer.returncode == 2
        assert "DATABASE_URL" in answer.stderr
        assert "Traceback" not in answer.stderr


def test_what_comes_back_meanwhile_is_not_sent_again_by_the_same_replay(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = (
        "INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, message_key, value, "
        "event_id, error_kind, error, attempts) SELECT 't', 0, n, 1, 'ann', '{}', 'letter-' || n, 'data', 'e', 1 "
        "FROM generate_series(%s::int, %s::int) AS n"
    )
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(letters, (1, 150))
        back = iter(range(200, 300))

        def one_comes_back(_: float) -> None:
            number = next(back)
            connection.execute(letters, (number, number))

        monkeypatch.setattr("app.commands.replay.time.sleep", one_comes_back)
        assert reco(database_url, "replay", "dlq", "--limit", "1000").stdout.startswith("150 sent again.")
        assert statuses(connection, "feature_consumer_dlq") == {"replayed": 150, "pending": 2}


def test_a_whole_batch_is_listed_and_never_sent_as_if_it_were_a_message(
    database_url: str, rows: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    with rows:
        rows.execute("UPDATE feature_consumer_dlq SET error_kind = 'batch' WHERE event_id = 'letter-1'")
        assert "letter-1" in reco(database_url, "dlq", "list").stdout
        assert "4 sent again" in run(database_url, DLQ, "--status", "pending", "--limit", "100", "--force").stdout
        assert statuses(rows, "feature_consumer_dlq") == {"replayed": 4, "pending": 1}
