"""`reco export`: what a running service stored, as files that have each event exactly once."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from app.cli import main
from app.devstack import Stack
from tests.support.database import ask
from tests.support.service import ROOT, Service, eventually, running
from tests.support.shared_environment import shared_environment

PROBE: Final = """
INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload)
VALUES (%(id)s, 'view', 'late', 's', 1, '', jsonb_build_object(
    'v', 1, 'event_id', %(id)s::text, 'event_type', 'view', 'user_id', 'late', 'session_id', 's', 'ts_ms', 1,
    'item_id', 'film'))
"""


@pytest.fixture(scope="module")
def service(stack: Stack, template_database: str, redis_base_url: str) -> Iterator[Service]:
    """One for all tests of this module; each has users of its own."""
    environment = shared_environment(stack, template_database, redis_base_url, "export")
    with environment as settings, running(settings) as started:
        yield started


def run(service: Service, *arguments: str | Path) -> dict[str, Any]:
    """The report of `reco export`."""
    done = CliRunner().invoke(main, ["export", *map(str, arguments), "--json"], env=service.environment)
    assert done.exit_code == 0, done.output
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def read(folder: Path) -> list[dict[str, Any]]:
    """The rows of all files, in order."""
    return [row for path in sorted(folder.glob("[0-9]*.*")) for row in read_file(path)]


def read_file(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return list(map(json.loads, path.read_text().splitlines()))
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


def ids(folder: Path) -> list[str]:
    return [row["event_id"] for row in read(folder)]


def views(service: Service, *names: str, user_id: str = "viewer") -> None:
    view = {"event_type": "view", "user_id": user_id, "session_id": "s", "ts_ms": time.time_ns() // 1_000_000}
    events = [{**view, "event_id": f"view-of-{name}", "item_id": name} for name in names]
    for start in range(0, len(events), 1_000):
        answer = service.client.post("/log/batch", json={"events": events[start : start + 1_000]})
        assert answer.json()["accepted"] == len(events[start : start + 1_000])


@pytest.mark.shows("reco export")
def test_events_impressions_and_features_become_tables(service: Service, tmp_path: Path) -> None:
    now = time.time_ns() // 1_000_000
    mine = {"user_id": "ann", "session_id": "s1", "ts_ms": now - 9_000}
    watch = {"watch_time_sec": 90, "percent_watched": 75.5, "ended": False, "context": {"page": "home", "k": [1, None]}}
    sold = {"value": 59.9, "currency": "EUR", "quantity": 2, "rating": 4.0}
    shown = [{"item_id": "alien", "position": 0, "feed_id": "top"}, {"item_id": "brazil", "position": 1}]
    events = [
        {**mine, "event_type": "impression", "event_id": "impression-1", "request_id": "r1", "items": shown},
        {**mine, "event_type": "watch", "event_id": "watch-of-alien", "request_id": "r1", "item_id": "alien", **watch},
        {**mine, "event_type": "purchase", "event_id": "purchase-of-brazil", "item_id": "brazil", **sold},
    ]
    assert service.client.post("/log/batch", json={"events": events}).json()["accepted"] == 3
    eventually(lambda: service.metric("reco_feature_consumer_processed_total", status="applied") == 3)
    for kind in ("parquet", "jsonl"):
        folder = tmp_path / kind
        report = run(service, "events", folder, "--format", kind)
        assert (report["files"], report["since"]) == ([f"000001.{kind}"], None)
        watched = next(row for row in read(folder / "events") if row["event_type"] == "watch")
        context = json.loads(watched["context"]) if kind == "parquet" else watched["context"]
        assert context == watch["context"]
        del watched["context"], watched["received_at"]
        assert watched == {
            **mine,
            **{name: watch[name] for name in ("watch_time_sec", "percent_watched", "ended")},
            "event_id": "watch-of-alien",
            "event_type": "watch",
            "item_id": "alien",
            "request_id": "r1",
            **dict.fromkeys(("anonymous_id", "playback_speed", "rebuffer_count", *sold, "cancels")),
        }
        bought = next(row for row in read(folder / "events") if row["event_type"] == "purchase")
        assert {name: bought[name] for name in sold} == sold
        run(service, "impressions", folder, "--format", kind)
        assert [(row["item_id"], row["position"], row["feed_id"]) for row in read(folder / "impressions")] == [
            ("alien", 0, "top"),
            ("brazil", 1, None),
        ]
        assert run(service, "features", folder, "--format", kind)["files"] == [
            f"000001/{table}.{kind}" for table in ("items", "pairs", "histories")
        ]
        run(service, "features", folder, "--format", kind)
        tables = {
            path.stem: parquet.read_table(path).to_pylist()
            if kind == "parquet"
            else list(map(json.loads, path.read_text().splitlines()))
            for path in (folder / "features" / "000002").iterdir()
        }
        items = {row["item_id"]: row for row in tables["items"]}
        assert (items["alien"]["watches"], items["alien"]["watch_time_sec"], items["alien"]["impressions"]) == (
            1,
            90,
            1,
        )
        assert (items["brazil"]["purchases"], items["brazil"]["users"]) == (1, 1)
        assert items["brazil"]["popularity_week"] == pytest.approx(1.0, rel=0.01)
        assert {tables["pairs"][0]["item_a"], tables["pairs"][0]["item_b"]} == {"alien", "brazil"}
        assert sorted((row["user_id"], row["item_id"], row["kind"]) for row in tables["histories"]) == [
            ("ann", "alien", "watch"),
            ("ann", "brazil", "purchase"),
        ]


def test_a_cancellation_names_what_it_takes_back(service: Service, tmp_path: Path) -> None:
    mine = {"user_id": "returner", "session_id": "s", "anonymous_id": "visitor-of-returner"}
    bought = {**mine, "event_type": "purchase", "event_id": "purchase-to-return", "item_id": "returned"}
    for event in (bought, {**mine, "event_type": "cancel", "cancels": "purchase-to-return"}):
        assert service.client.post("/event", json=event).status_code == 202
    run(service, "events", tmp_path)
    found = [row for row in read(tmp_path / "events") if row["user_id"] == "returner"]
    assert [(row["event_type"], row["cancels"]) for row in found] == [
        ("purchase", None),
        ("cancel", "purchase-to-return"),
    ]
    assert {row["anonymous_id"] for row in found} == {"visitor-of-returner"}


def test_an_import_that_commits_after_a_run_is_in_the_next_one(service: Service, tmp_path: Path) -> None:
    """Of its third batch: those that are taken for new are written another way."""
    log = tmp_path / "log.csv"
    rows = [f"importer,{'held' if n == 4_099 else 'film'},{1_700_000_000 + n},view,Held" for n in range(4_100)]
    log.write_text("user,item,ts,type,title\n" + "".join(f"{row}\n" for row in rows))
    database_url = service.environment["DATABASE_URL"]
    with psycopg.connect(database_url) as holder:
        holder.execute("INSERT INTO items (item_id) VALUES ('held')")
        command = [sys.executable, "-m", "app.cli", "import", str(log), "--no-wait", "--rejected", "/dev/null"]
        importing = subprocess.Popen(command, cwd=ROOT, env=service.environment, stderr=subprocess.PIPE)
        waiting = "FROM pg_stat_activity WHERE application_name = 'reco import' AND wait_event_type = 'Lock'"
        eventually(lambda: ask(database_url, f"SELECT count(*) {waiting}") == 1)
        views(service, "meanwhile")
        run(service, "events", tmp_path / "files")
        holder.rollback()
    _, said = importing.communicate(timeout=60)
    assert importing.returncode == 0, said
    run(service, "events", tmp_path / "files")
    found = [row["event_id"] for row in read(tmp_path / "files" / "events") if row["user_id"] == "importer"]
    assert (len(found), len(set(found))) == (4_100, 4_100)


def test_a_later_run_adds_what_was_committed_since(service: Service, tmp_path: Path) -> None:
    """Also what a transaction wrote that had begun before the first run, and ended after it."""
    views(service, "first")
    with psycopg.connect(service.environment["DATABASE_URL"]) as late:
        late.execute(PROBE, {"id": "late-to-commit"})
        run(service, "events", tmp_path)
        assert ids(tmp_path / "events")[-1] == "view-of-first"
        views(service, "second")
        late.commit()
    with psycopg.connect(service.environment["DATABASE_URL"]) as later:
        later.execute("SELECT now()")  # begun before the mark of the second run, written and committed after it
        assert run(service, "events", tmp_path)["rows"] == 2
        later.execute(PROBE, {"id": "later-to-write"})
    assert run(service, "events", tmp_path)["rows"] == 1
    assert run(service, "events", tmp_path)["files"] == []
    assert ids(tmp_path / "events")[-4:] == ["view-of-first", "late-to-commit", "view-of-second", "later-to-write"]


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_with_the_same_events(service: Service, tmp_path: Path) -> None:
    views(service, *map(str, range(5_000)))
    command = [sys.executable, "-m", "app.cli", "export", "events", str(tmp_path), "--file-rows", "1000"]
    killed = subprocess.Popen(command, cwd=ROOT, env=service.environment, stderr=subprocess.PIPE, text=True)
    assert killed.stderr is not None
    assert "000001.parquet: " in killed.stderr.readline()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    progress = json.loads((tmp_path / "events" / "_export.json").read_text())
    # As a run leaves it that was killed between a file and the note of it.
    (tmp_path / "events" / f"{progress['files'] + 1:06}.jsonl").write_text("{}\n")
    views(service, "new")
    run(service, "events", tmp_path, "--file-rows", "1000")
    assert "view-of-new" not in ids(tmp_path / "events")
    assert run(service, "events", tmp_path)["rows"] == 1
    found = ids(tmp_path / "events")
    stored = ask(service.environment["DATABASE_URL"], "SELECT count(*) FROM events WHERE event_type <> 'impression'")
    assert (len(found), len(set(found)), found[-1]) == (stored, stored, "view-of-new")
    assert [path.name for path in (tmp_path / "events").iterdir() if path.name.startswith(".")] == []


def test_exported_events_can_be_imported_and_erased_ones_are_gone(service: Service, tmp_path: Path) -> None:
    views(service, "erased-1", "erased-2", user_id="to-erase")
    assert service.client.delete("/users/to-erase").status_code == 200
    views(service, "kept", user_id="to-erase")
    run(service, "events", tmp_path)
    assert [row["event_id"] for row in read(tmp_path / "events") if row["user_id"] == "to-erase"] == ["view-of-kept"]
    again = CliRunner().invoke(
        main,
        [
            "import",
            str(tmp_path / "events"),
            "--where",
            "event_type=view",
            "--where",
            "user_id!=late",
            "--no-wait",
            "--json",
        ],
        env=service.environment,
    )
    report = json.loads(again.stdout)
    assert report["rejected"] == report["imported"] == 0, again.output
    assert report["duplicates"] >= 1
    (tmp_path / "events" / "000001.parquet.rejected.jsonl").touch()  # where an import leaves its rejects
    assert run(service, "events", tmp_path)["rows"] == 0


def test_own_types_and_the_numbers_of_events_come_back(service: Service, tmp_path: Path) -> None:
    """As a duplicate: an event that said something else would be a conflict."""
    sold = {"value": 59.9, "currency": "EUR", "quantity": 2}
    about = {"user_id": "spender", "session_id": "s", "ts_ms": time.time_ns() // 1_000_000, "item_id": "kayak"}
    events = [{**about, **sold, "event_type": kind, "event_id": f"{kind}-of-kayak"} for kind in ("cart", "purchase")]
    events.append({**about, "event_type": "rating", "event_id": "rating-of-kayak", "rating": 4.5})
    own = {"weight": 0.6, "meaning": "interest"}
    assert service.client.put("/event-types/wish", json=own).status_code in (200, 201)
    events.append({**about, **sold, "event_type": "wish", "event_id": "wish-of-kayak"})

    def stored() -> bool:
        answer = service.client.post("/log/batch", json={"events": events}).json()
        return bool(answer.get("accepted", 0) + answer.get("duplicate", 0) == len(events))

    eventually(stored)
    for kind in ("parquet", "jsonl"):
        folder = tmp_path / kind
        run(service, "events", folder, "--format", kind)
        again = ["import", str(folder / "events"), "--where", "user_id=spender", "--no-wait", "--json"]
        report = json.loads(CliRunner().invoke(main, again, env=service.environment).stdout)
        assert (report["duplicates"], report["rejected"]) == (4, 0)


def test_a_folder_of_something_else_is_refused(service: Service, tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "photos.zip").touch()
    (tmp_path / "features").touch()
    (tmp_path / "impressions").mkdir()
    (tmp_path / "impressions" / "_export.json").write_text("{")
    said = {}
    for what in ("events", "impressions", "features"):
        done = CliRunner().invoke(main, ["export", what, str(tmp_path)], env=service.environment)
        assert done.exit_code == 2
        said[what] = done.stderr
    assert "holds photos.zip and no _export.json" in said["events"]
    assert "_export.json is damaged" in said["impressions"]
    assert "features cannot be used as a folder" in said["features"]
