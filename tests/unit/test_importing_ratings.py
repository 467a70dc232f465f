"""Rows of the type rating have their number, which decides for how much they count."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner

from app.cli import main
from app.errors import UserError
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, Row, detect, read_rows
from app.importing.records import RowIds, to_record
from app.importing.screen import describe

NOW_MS: Final = 1_800_000_000_000
LINES: Final = "userId,movieId,rating,timestamp\nu,i,{},1700000000\n"


def read(path: Path, content: str, **options: Any) -> list[Row | BadRow]:
    path.write_text(content)
    return list(read_rows(path, detect(path, ImportOptions(preset="none", **options)), latest_ms=NOW_MS))


@pytest.mark.parametrize(("written", "rating", "weight"), [("5", 5.0, 1.0), ("3.0", 3.0, 0.0), ('"1,5"', 1.5, -0.75)])
def test_rating_counts_by_its_number(tmp_path: Path, written: str, rating: float, weight: float) -> None:
    (row,) = read(tmp_path / "log.csv", LINES.format(written), event_type="rating")
    assert isinstance(row, Row)
    payload = json.loads(to_record(row, "event-id-1", now_ms=NOW_MS).payload)
    assert (payload["event_type"], payload["rating"]) == ("rating", rating)
    assert payload["counts"]["weight"] == pytest.approx(weight)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("0.5", "rating: '0.5' is not on the scale: an event of the type rating needs one from 1 to 5"),
        ("good", "rating: 'good' is not on the scale: an event of the type rating needs one from 1 to 5"),
        ("nan", "rating: missing for the type rating; say --map rating=COLUMN"),
        ("", "rating: missing for the type rating; say --map rating=COLUMN"),
    ],
)
def test_rating_without_a_number_of_the_scale_is_rejected(tmp_path: Path, written: str, reason: str) -> None:
    (row,) = read(tmp_path / "log.csv", LINES.format(written), event_type="rating")
    assert isinstance(row, BadRow)
    assert row.reason == reason


def test_ratings_stand_among_other_events_whose_ids_they_do_not_change(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    lines = ["user,item,ts,event,stars", "u,i,1700000000,ratings,4", "u,i,1700000000,view,4", "u,i,1700000000,view,"]
    found = read(log, "\n".join(lines), columns={"rating": "stars"})
    assert [row.rating if isinstance(row, Row) else row.reason for row in found] == [4.0, None, None]
    assert "rating ← stars" in describe(detect(log, ImportOptions(columns={"rating": "stars"})))
    ids, others = RowIds(), RowIds()
    first, view, same = [ids.event_id(row) for row in found if isinstance(row, Row)]
    without = read(log, "\n".join([lines[0], *lines[2:]]))
    assert [view, same] == [others.event_id(row) for row in without if isinstance(row, Row)]
    (other,) = read(log, "\n".join([lines[0], lines[1].replace(",4", ",2")]), columns={"rating": "stars"})
    assert isinstance(other, Row)
    assert RowIds().event_id(other) != first, "two ratings of one moment are two events"


def test_two_columns_of_ratings_are_unclear_for_ratings_alone(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    found = read(log, "user,item,ts,event,rating,rating\nu,i,1700000000,view,1,2\nu,i,1700000000,rating,1,2\n")
    assert [row.event_type if isinstance(row, Row) else row.reason for row in found] == [
        "view",
        "rating: missing for the type rating; say --map rating=COLUMN",
    ]
    (row,) = read(log, "user,item,ts,rating,rating\nu,i,1700000000,1,2\n", event_type="view")
    assert isinstance(row, Row)
    with pytest.raises(UserError, match="two columns have the name rating: say --map 'rating=rating' for the first"):
        read(log, "user,item,ts,rating,rating\nu,i,1700000000,1,2\n", event_type="rating")


def test_layout_that_takes_high_ratings_for_views_gives_all_where_they_are_ratings(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("userId,movieId,rating,timestamp\nu,i,1.0,1700000000\nu,j,5.0,1700000001\n")
    for options, found in (({"event_type": "rating"}, [1.0, 5.0]), ({}, [None])):
        rows = read_rows(log, detect(log, ImportOptions(**options)), latest_ms=NOW_MS)
        assert [row.rating for row in rows if isinstance(row, Row)] == found


def test_ratings_are_evaluated_where_they_speak_for_an_item(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    rated = [f"u{n % 7},i{n % 5},{n % 5 + 1},{1_700_000_000 + n}" for n in range(100)]
    log.write_text("\n".join(["userId,movieId,rating,timestamp", *rated]))
    given = ["evaluate", str(log), "--preset", "none", "--event-type", "rating", "--last", "0.5", "--json"]
    done = CliRunner().invoke(main, given)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["events"] == 100
    assert report["scores"]["learned"]["all"]["tests"] == 20, "those of 4 and 5 in the second half"
