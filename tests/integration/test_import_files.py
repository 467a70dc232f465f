"""`reco import` of several files at once, and what it says while it reads."""

import gzip
import io
import re
from pathlib import Path

import msgspec
from click.testing import CliRunner
from rich.console import Console

from app.cli import main
from app.commands.evaluate import evaluate
from app.importing.counts import ImportCounts
from app.importing.screen import ImportScreen
from tests.integration.test_import import HEADER, Command, run, stored, write_log


def test_files_of_a_folder_and_stdin_are_imported_together_and_rejects_name_theirs(
    database_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "days"
    folder.mkdir()
    (folder / "1.csv").write_text(HEADER + "u,i,1700000000,view,t\nu,i\n")
    row = {"user": "u", "item": "i", "ts": 1_700_000_001, "type": "view"}
    (folder / "2.json.gz").write_bytes(gzip.compress(msgspec.json.encode([row, row | {"ts": "soon"}])))
    piped = tmp_path / "piped"
    piped.write_text("item;user;ts;type\ni;u;1700000002;view\n")
    rejects = tmp_path / "rejects"
    with piped.open("rb") as stdin:
        code, screen = Command(database_url, folder, "-", "--no-wait", "--rejected", rejects, stdin=stdin).end()
    assert code == 0, screen
    assert "rows read   5" in screen
    assert stored(database_url) == (3, 3)
    rejected = [msgspec.json.decode(line) for line in rejects.read_bytes().splitlines()]
    assert [(Path(entry["file"]).name, entry["line"]) for entry in rejected] == [("1.csv", 3), ("2.json.gz", 1)]


def test_mostly_rejected_rows_end_with_code_1_and_grouped_reasons(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(HEADER + "u,i,1700000000,view,t\n" + "".join(f"u,i{n},{n},view,t\n" for n in range(3)))
    code, screen = run(database_url, log, "--no-wait")
    assert code == 1
    assert re.search(r"3 +ts: '0' would be before 1990", screen)
    assert "More than half of the rows were rejected" in screen
    assert stored(database_url) == (1, 1)
    ended = CliRunner(env={"DATABASE_URL": database_url}).invoke(main, ["import", str(log), "--no-wait", "--json"])
    assert msgspec.json.decode(ended.stdout) == {
        "read": 4,
        "imported": 0,
        "duplicates": 1,
        "erased": 0,
        "rejected": 3,
        "reasons": [{"rows": 3, "reason": "ts: '0' would be before 1990; is the unit right? say --time-format"}],
    }
    code, screen = run(database_url, log, "--no-wait", "--where", "type=buy")
    assert code == 1
    assert "No row was taken" in screen


def test_import_of_nothing_but_bad_rows_stops_early(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(HEADER + "".join(f"u,i{n},1,view,t\n" for n in range(30_000)))
    code, screen = run(database_url, log, "--no-wait")
    assert code == 2
    assert "All of the first 10,000 rows were rejected" in screen
    assert re.search(r"10,000 +ts: '1' would be before 1990", screen)
    assert len((tmp_path / "log.csv.rejected.jsonl").read_bytes().splitlines()) == 10_000


def test_import_and_evaluate_say_what_they_guessed(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "ratings.csv"
    rows = "".join(f"{n % 3},{n % 7},{n % 5 + 1},{1_500_000_000 + n}\n" for n in range(300))
    log.write_text("userId,movieId,rating,timestamp\n" + rows)
    guessed = (
        "MovieLens ratings: user_id ← userId, item_id ← movieId, time ← timestamp, event_type = view, "
        "only rows with rating>=4 (--preset movielens; none reads it without)"
    )
    code, screen = run(database_url, log, "--no-wait")
    assert code == 0
    assert guessed in screen
    assert "rows read   120" in screen
    result = CliRunner().invoke(evaluate, [str(log), "--json"])
    assert result.exit_code == 0
    assert guessed in result.stderr
    assert msgspec.json.decode(result.stdout)["events"] == 120


def test_evaluate_of_mostly_bad_rows_says_why(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    good = "".join(f"u{n % 3},i{n % 7},{1_500_000_000 + n},view,t\n" for n in range(100))
    log.write_text(HEADER + good + "u,i,soon,view,t\n" * 101)
    result = CliRunner().invoke(evaluate, [str(log)])
    assert result.exit_code == 1
    assert re.search(r"101 +ts: 'soon' is neither a number", result.stderr)


def test_off_a_terminal_the_import_says_now_and_then_how_far_it_is(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", 10)
    text = io.StringIO()
    with ImportScreen(Console(file=text), [log], rejects=None, say_every_sec=0.0) as screen:
        screen.moved(ImportCounts(read=5, rejected=1, pos=log.stat().st_size // 2))
        screen.waiting("Publishing")(7)
    assert re.match(r"(49|50)%, 5 rows, [\d,]+/s, 1 rejected\nPublishing: 7 events left\n", text.getvalue())


def test_products_of_one_event_of_a_collector_are_stored_each(database_url: str, tmp_path: Path) -> None:
    action = "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1"
    products = "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1"
    event = {"event_id": "e-0000001", "collector_tstamp": "2024-05-01T10:00:00Z", "domain_userid": "u"}
    log = tmp_path / "events.json.gz"
    content = msgspec.json.encode(event | {action: {"type": "transaction"}, products: [{"id": "p"}, {"id": "q"}]})
    log.write_bytes(gzip.compress(gzip.compress(content)))  # packed twice
    code, screen = run(database_url, log, "--no-wait", "--strict")
    assert code == 0, screen
    assert "Snowplow events: user_id ←" in screen
    assert stored(database_url) == (2, 2)


def test_dump_of_a_database_is_refused_with_what_to_do(database_url: str, tmp_path: Path) -> None:
    dump = tmp_path / "events.sql"
    dump.write_text("-- PostgreSQL database dump\n\nCOPY public.events (user_id, item_id) FROM stdin;\nu\ti\n\\.\n")
    code, screen = run(database_url, dump, "--no-wait")
    assert code == 2
    assert "is an SQL dump, which is not read: load it into a database" in " ".join(screen.split())
