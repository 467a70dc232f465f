"""`reco import` of several files at once, and what it says while it reads."""

import gzip
import io
import re
from pathlib import Path

import msgspec
from rich.console import Console

from app.importing.screen import ImportScreen
from app.importing.transfer import ImportCounts
from tests.integration.test_import import HEADER, Command, stored, write_log


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


def test_off_a_terminal_the_import_says_now_and_then_how_far_it_is(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", 10)
    text = io.StringIO()
    with ImportScreen(Console(file=text), [log], rejects=None, say_every_sec=0.0) as screen:
        screen.moved(ImportCounts(read=5, rejected=1, pos=log.stat().st_size // 2))
        screen.waiting("Publishing")(7)
    assert re.match(r"(49|50)%, 5 rows, [\d,]+/s, 1 rejected\nPublishing: 7 events left\n", text.getvalue())
