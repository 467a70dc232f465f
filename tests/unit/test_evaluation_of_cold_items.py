"""`reco evaluate --items`: items of few events are placed by their content, and tested apart."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import main
from app.core.named_weights import from_named, named
from app.core.rankers import FIXED_WEIGHTS, LEARNED, POPULAR
from app.core.weights import CONTENT_FEATURES, FIXED, FROM_CONTENT, START


@pytest.fixture
def gifts(tmp_path: Path) -> tuple[Path, Path]:
    """A log in which an item is bought by the two users of its kind alone, and its catalogue."""
    log, items = tmp_path / "log.csv", tmp_path / "items.csv"
    rows, cards = [], {}
    for number in range(300):
        kind, user = f"kind {number % 10}", f"u{number % 20}"
        item_id = f"{kind}, item {number // 20}"
        rows.append((user, user, item_id, "purchase", 1_600_000_000 + number * 3600))
        cards[item_id] = (item_id, f"gift of {kind}", kind)
    for path, header, lines in (
        (log, ("user_id", "session_id", "item_id", "event_type", "timestamp"), rows),
        (items, ("item_id", "title", "categories"), [*cards.values(), ("", "", "")]),
    ):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([header, *lines])
    return log, items


def test_with_a_catalogue_items_of_few_events_are_placed_and_tested_apart(gifts: tuple[Path, Path]) -> None:
    log, items = map(str, gifts)
    plain, placed = (
        json.loads(CliRunner().invoke(main, ["evaluate", log, "--json", *more]).stdout)
        for more in ([], ["--items", items])
    )
    for found in (plain, placed):
        cold, known = (found["scores"][FIXED_WEIGHTS][part]["tests"] for part in ("cold", "known"))
        assert cold + known == found["scores"][FIXED_WEIGHTS]["all"]["tests"] == 60
        assert cold == 60
    assert placed["bad_rows"] == 1
    for name in (LEARNED, FIXED_WEIGHTS):
        assert placed["scores"][name]["cold"]["hit_rate"] > plain["scores"][name]["cold"]["hit_rate"] + 0.2
    for part, figures in placed["scores"][POPULAR].items():
        if part != "coverage":
            assert {**figures, "coverage": 0} == {**plain["scores"][POPULAR][part], "coverage": 0}


def test_an_item_that_users_only_like_does_not_stay_cold(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    lines = [f"u{number},a{number % 3},like,{1_600_000_000 + number * 60}" for number in range(60)]
    log.write_text("\n".join(["user_id,item_id,event_type,timestamp", *lines]))
    ended = CliRunner().invoke(main, ["evaluate", str(log), "--json"])
    found = json.loads(ended.stdout)["scores"][LEARNED]
    assert (found["cold"]["tests"], found["known"]["tests"]) == (0, 12)


def test_with_a_catalogue_the_command_prints_what_is_cold(gifts: tuple[Path, Path]) -> None:
    log, items = map(str, gifts)
    ended = CliRunner().invoke(main, ["evaluate", log, "--items", items], env={"COLUMNS": "120"})
    assert ended.exit_code == 0, ended.output
    assert "60 of an item with fewer than 5 events" in ended.stdout
    assert "0 of an item with 5 events or more" in ended.stdout
    assert "1 rows are not valid items" in ended.stderr


def test_catalogue_that_is_mostly_not_usable_is_told_with_the_reasons(gifts: tuple[Path, Path]) -> None:
    log, items = gifts
    with items.open(newline="") as file:
        header, *lines = csv.reader(file)
    with items.open("w", newline="") as file:
        csv.writer(file).writerows([[*header, "published_at"], *([*line, "some day"] for line in lines)])
    ended = CliRunner().invoke(main, ["evaluate", str(log), "--items", str(items)], env={"COLUMNS": "120"})
    assert ended.exit_code == 1
    assert "published_at: 'some day' is neither a number nor ISO 8601" in ended.stderr
    assert "rows are not valid items" in ended.stderr


def test_weights_of_an_older_version_leave_content_as_it_starts() -> None:
    rows = {name: values for name, values in named(FIXED).items() if name not in CONTENT_FEATURES}
    weights = from_named(rows)
    assert (weights[:, FROM_CONTENT] == START[:, FROM_CONTENT]).all()
    assert (weights[:, : FROM_CONTENT.start] == FIXED[:, : FROM_CONTENT.start]).all()
