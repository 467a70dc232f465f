"""`reco load` as its users run it: on servers of its own, against a URL, interrupted, and in the wrong place."""

import itertools
import json
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Mapping
from typing import Any

import asyncpg
import psutil
import psycopg
import pytest

from app.adapters.ingest import insert_events
from app.core.events import Record, accept
from app.errors import UserError
from app.load import store
from app.load.embedded import refuse_other_hosts
from app.load.jobs import States
from app.load.requests import ACCEPTED, REFUSED, UNKNOWN, SentEvents
from app.load.workload import Population, Shape
from tests.support.database import ask
from tests.support.service import ROOT, running

SMALL = ["--seconds", "0.5", "--rounds", "1", "--users", "30", "--items", "60", "--history", "5", "--rate", "100"]
EVERYTHING = {
    *(
        "baseline.post",
        "single",
        "baseline.insert100",
        "batch100",
        "baseline.insert1000",
        "batch1000",
        "baseline.get",
        "reco",
        "cold",
    ),
    *("baseline.produce", "relay", "consumer", "steady", "visible", "idle"),
}


def command(environment: Mapping[str, str], *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli", "load", *arguments],
        cwd=ROOT,
        # Beside other tests a thousand events may take longer than the service lets a request wait.
        env={**os.environ, **environment, "INGEST_TIMEOUT_SEC": "20"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=250)
    return process.returncode, out, err


def still_running(database_url: str) -> list[str]:
    """Processes that were started with this database: no other run has it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("DATABASE_URL") == database_url:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.shows("reco load")
def test_a_run_on_processes_of_its_own_measures_everything_and_leaves_nothing(environment: dict[str, str]) -> None:
    process = command(
        environment, "--baseline", "--json", "--backlog", "2000", "--require", "single/baseline.post>0", *SMALL
    )
    code, out, err = finished(process)
    assert code == 0, err
    document: dict[str, Any] = json.loads(out)
    rows = document["rows"]
    assert set(rows) == EVERYTHING
    # Half a second may be too short for a batch of 1,000 on a busy machine, so what is measured then is left open.
    assert all(rows[row]["rate"]["median"] > 0 for row in EVERYTHING - {"batch1000", "visible", "idle"})
    timed = ("single", "batch100", "batch1000", "reco", "cold", "steady", "visible")
    assert all(rows[row]["p99"]["median"] > 0 for row in timed)
    assert all(rows[row]["of_baseline"]["median"] > 0 for row in ("single", "batch100", "reco", "relay"))
    assert all(rows[row]["errors"] == {} for row in EVERYTHING)
    assert rows["idle"]["rss_mb"]["median"] > 10
    check = document["check"]
    assert check["violations"] == []
    assert check["sent"] == check["accepted"] == check["stored"] == check["consumed"] > 2000
    assert document["thresholds"][0]["passed"] is document["passed"] is True
    assert still_running(environment["DATABASE_URL"]) == []
    # A request has at most 1,000 events of one time, and the 2,000 of the backlog have times of their own.
    at_one_time = "SELECT max(events) FROM (SELECT count(*) AS events FROM events GROUP BY ts_ms) AS times"
    assert ask(environment["DATABASE_URL"], at_one_time) < 2000


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_lists_of_a_catalogue_are_full_at_a_fixed_rate(environment: dict[str, str]) -> None:
    lists = ("--scenario", "filter", "--scenario", "rank", "--items", "150", "--reads", "30", "--baseline", "--json")
    code, out, err = finished(command(environment, *SMALL, *lists))
    assert code == 0, err
    rows = json.loads(out)["rows"]
    assert set(rows) == {"baseline.lists", "unfiltered", "filter", "baseline.rank", "rank", "idle"}
    assert all(rows[row]["errors"] == {} for row in rows)
    assert all(rows[row]["p99"]["median"] > 0 for row in rows if row != "idle")
    assert ask(environment["DATABASE_URL"], "SELECT count(*) FROM items") == 150
    code, out, err = finished(command(environment, "--scenario", "filter", "--items", "60"))
    assert (code, out) == (2, "")
    assert "need 100 items more than --k" in err


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_an_endurance_run_measures_each_minute_and_lets_rows_expire(environment: dict[str, str]) -> None:
    kept = ("--scenario", "endure", "--minutes", "1", "--reads", "20", "--json")
    process = command(environment, *kept, *SMALL)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    document: dict[str, Any] = json.loads(out)
    (minute,) = document["minutes"]
    assert min(minute["events_per_sec"], minute["reads_per_sec"], minute["event_p99"], minute["rss_mb"]) > 0
    sizes = {table["table"]: table for table in minute["tables"]}
    assert {"events", "item_pairs", "user_history", "table_walks"} <= set(sizes)
    assert document["slopes"] == []  # of a minute
    assert document["rows"]["endure.reco"]["errors"] == {}
    sent = 60 * minute["events_per_sec"]
    assert ask(environment["DATABASE_URL"], "SELECT count(*) FROM events") < sent
    assert still_running(environment["DATABASE_URL"]) == []


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--check",), "deletes the events that --check looks for"),
        (("--scenario", "single"), "runs alone"),
        (("--layout", "api"), "needs a relay and a consumer"),
        (("http://127.0.0.1:1",), "cannot have a URL"),
    ],
)
def test_an_endurance_run_that_cannot_tell_is_refused(arguments: tuple[str, ...], word: str) -> None:
    code, out, err = finished(command({}, "--scenario", "endure", *arguments))
    assert code == 2
    assert out == ""
    assert word in err


@pytest.mark.slow
def test_a_service_at_a_url_is_measured_and_its_database_checked(environment: dict[str, str]) -> None:
    with running(environment) as service:
        fresh = ("--scenario", "single", "--scenario", "reco", "--scenario", "fresh")
        unmet = ("--require", "single>=1000000000")
        code, out, err = finished(command(environment, service.url, "--check", *fresh, *unmet, *SMALL))
    assert code == 1, err
    assert "nothing lost, nothing twice" in out
    assert "NOT MET: single>=1000000000" in out
    assert "acknowledged to seen in /reco" in out


@pytest.mark.slow
def test_a_failing_service_makes_the_run_fail_and_is_quoted(environment: dict[str, str]) -> None:
    environment["INGEST_MAX_PENDING_EVENTS"] = "50"
    code, out, err = finished(command(environment, "--layout", "api", "--scenario", "single", "--no-check", *SMALL))
    assert code == 2
    assert out == ""
    assert "503" in err
    assert "Too many events are waiting" in err


@pytest.mark.slow
def test_a_service_that_dies_under_load_ends_the_run_with_a_word(environment: dict[str, str]) -> None:
    with running(environment) as service:
        process = command(environment, service.url, "--scenario", "single", *SMALL, "--seconds", "2")
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("round 1"):
                service.kill()
                break
        code, out, err = finished(process)
    assert code == 2
    assert out == ""
    assert "no longer answers" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_an_interrupted_run_ends_what_it_started(environment: dict[str, str]) -> None:
    process = command(environment, "--scenario", "single", "--seconds", "60", "--users", "30")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("round 1"):
            break
    process.send_signal(signal.SIGTERM)
    code, out, _ = finished(process)
    assert code != 0
    assert out == ""
    assert still_running(environment["DATABASE_URL"]) == []


async def stored(database_url: str, history: SentEvents, count: int) -> list[Record]:
    events = itertools.islice(Population(Shape(users=5, items=20, history=1, seed=1)).events("some"), count)
    records = []
    for event in events:
        event.event_id = history.event_id(history.take(1)).decode()
        records.append(accept(event, now_ms=1_790_000_000_000, entropy=bytes(10)))
    connection = await asyncpg.connect(database_url)
    try:
        assert (await insert_events(connection, records)).statuses == ["accepted"] * count
    finally:
        await connection.close()
    return records


async def test_the_check_finds_what_was_lost_kept_by_mistake_or_not_counted(database_url: str) -> None:
    history = SentEvents("checking")
    records = await stored(database_url, history, 6)
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM events WHERE event_id = %s", [records[0].event_id])
        ids = [record.event_id for record in (records[0], *records[2:])]
        connection.execute("INSERT INTO feature_event_consumed SELECT unnest(%s::text[])", [ids])
    sent = bytes([ACCEPTED, ACCEPTED, REFUSED, UNKNOWN, ACCEPTED, ACCEPTED, UNKNOWN])
    states = States(id_prefix="load-checking-", compressed=zlib.compress(sent))
    verdict = store.check(database_url, states, alone=False)
    assert (verdict.sent, verdict.accepted, verdict.refused, verdict.unknown) == (7, 4, 1, 2)
    assert (verdict.stored, verdict.consumed) == (5, 5)
    assert sorted(verdict.violations) == [
        "1 events accepted, but not stored",
        "1 events counted, but not stored",
        "1 events refused, but stored",
        "1 events stored, but not counted",
    ]
    # Nothing was folded into the items, so the sums over all of the database are wrong as well.
    assert any(
        "stored, 0 counted" in violation for violation in store.check(database_url, states, alone=True).violations
    )


async def test_a_database_in_use_is_never_filled(environment: dict[str, str]) -> None:
    await stored(environment["DATABASE_URL"], SentEvents("in-use-1"), 1)
    code, out, err = finished(command(environment, *SMALL))
    assert code == 2
    assert out == ""
    assert "holds events already" in err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://reco:secret@db.example.com:5432/reco"),
        ("DATABASE_URL", "postgresql:///reco?host=db.example.com"),
        ("DATABASE_DIRECT_URL", "postgresql://reco@db.example.com/reco"),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092,kafka.example.com:9092"),
        ("ONLINE_CACHE_REDIS_URL", "redis://cache.example.com:6379/0"),
    ],
)
def test_without_a_url_no_other_machine_is_loaded(name: str, value: str) -> None:
    refuse_other_hosts({"DATABASE_URL": "postgresql://reco@localhost/reco", "KAFKA_BOOTSTRAP_SERVERS": "[::1]:9092"})
    with pytest.raises(UserError, match=r"example\.com"):
        refuse_other_hosts({name: value})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ftp://127.0.0.1"], "not a valid service URL"),
        (["http://[::1"], "not a valid service URL"),
        (["http://127.0.0.1:1", "--scenario", "pipeline"], "cannot have a URL"),
        (["--layout", "api", "--scenario", "fresh"], "needs a relay and a consumer"),
        (["--require", "speed>1"], "not a measured value"),
        (["http://127.0.0.1:1"], "Nothing answers"),
        (["http://127.0.0.1:1", "--header", "nonsense"], "not a valid header"),
    ],
)
def test_wrong_options_are_explained(arguments: list[str], said: str) -> None:
    code, out, err = finished(command({}, *arguments))
    assert code == 2
    assert out == ""
    assert said in err
