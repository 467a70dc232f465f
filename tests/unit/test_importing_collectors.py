"""Events as collectors wrap them, columns that only sound like something, and what is said of values that are wrong."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from rich.console import Console

from app.importing.counts import ImportCounts
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, detect, read_rows
from app.importing.screen import ImportScreen

NOW_MS: Final = 1_800_000_000_000
TIME: Final = "2024-05-01T10:00:00Z"


def found(path: Path, content: str, **options: object) -> list[tuple[str, str, str] | str]:
    path.write_text(content)
    rows = read_rows(path, detect(path, ImportOptions(**options)), latest_ms=NOW_MS)
    return [r.reason if isinstance(r, BadRow) else (r.user_id, r.item_id, r.event_type) for r in rows]


@pytest.mark.parametrize(
    "event",
    [
        {"specversion": "1.0", "id": "7", "type": "view", "time": TIME, "data": {"user_id": "u", "item_id": "i"}},
        {"_source": {"user": {"id": "u"}, "item": {"id": "i"}, "@timestamp": TIME, "event": {"action": "view"}}},
        {"event": "view", "properties": {"time": 1_714_557_600, "distinct_id": "u", "product_id": "i"}},
        {"event": "view", "client_id": "u", "item": "i", "ts": TIME, "data": {"page": "/"}, "rows": 3, "results": []},
        {"event": {"type": "view", "id": "e-0000001"}, "user": "u", "item": "i", "time": TIME},
    ],
)
def test_event_of_a_collector_is_read_as_meant(tmp_path: Path, event: Mapping[str, Any]) -> None:
    assert found(tmp_path / "log", json.dumps(event) + "\n" + json.dumps(event)) == [("u", "i", "view")] * 2


@pytest.mark.parametrize("name", ["data", "events", "rows", "results"])
def test_column_that_sounds_like_a_list_and_holds_none_is_ignored(tmp_path: Path, name: str) -> None:
    content = f"user_id,item_id,ts,event_type,{name}\nu,i,1700000000,view,x\nu,j,1700000000,view,\n"
    assert found(tmp_path / "log", content) == [("u", "i", "view"), ("u", "j", "view")]


def test_list_in_a_column_of_such_a_name_makes_rows(tmp_path: Path) -> None:
    content = 'user_id,ts,event_type,rows\nu,1700000000,view,"[{""item_id"": ""i""}, {""item_id"": ""j""}]"\n'
    assert found(tmp_path / "log", content) == [("u", "i", "view"), ("u", "j", "view")]


@pytest.mark.parametrize("word", ["[NULL]", "<null>", "NONE"])
def test_another_missing_word(tmp_path: Path, word: str) -> None:
    content = f"user_id,session,item_id,ts,event_type\n{word},s,i,1700000000,view\n"
    assert found(tmp_path / "log", content) == [("s", "i", "view")]


def test_invisible_letters_around_an_id_are_no_part_of_it(tmp_path: Path) -> None:
    content = "user_id,item_id,ts,event_type\n\u00a0u \u200b,i,1700000000,view\n\ufeffü,j,1700000000,view\n"
    assert found(tmp_path / "log", content) == [("u", "i", "view"), ("ü", "j", "view")]


def test_offset_beside_the_letters_of_a_zone_says_it_all(tmp_path: Path) -> None:
    path = tmp_path / "log"
    at = "u;i;view;2024-05-01 15:30:00"
    path.write_text(f"user;item;type;ts\n{at} +0530 IST\n{at} +05:30 IST\n")
    rows = list(read_rows(path, detect(path, ImportOptions()), latest_ms=NOW_MS))
    assert [getattr(row, "ts_ms", row) for row in rows] == [1_714_557_600_000] * 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            'user,item,ts,watch_time_sec\nu,i,1700000000,"1,234"\n',
            "watch_time_sec: '1,234' is not a number, such as 5 or 5.5",
        ),
        ("user,item,ts,watch_time_sec\nu,i,1700000000,00:05\n", "watch_time_sec: '00:05' is not a number"),
        ("user,item,ts,watch_time_sec\nu,'a, b',1700000000,5\n", '5 values, but there are 4 columns; say --quote "\'"'),
    ],
)
def test_wrong_value_is_told_with_what_is_right(tmp_path: Path, content: str, reason: str) -> None:
    (told,) = found(tmp_path / "log", content, event_type="watch")
    assert str(told).startswith(reason)


def test_no_hint_at_quotes_where_quotes_are_text(tmp_path: Path) -> None:
    content = 'user,item,ts,type\nu,"a", 1700000000,view,x\n'
    assert found(tmp_path / "log", content, quote="") == ["5 values, but there are 4 columns"]


def test_unknown_types_are_told_as_a_shell_takes_them_and_are_one_reason(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(f"user,item,ts,type\nu,i,{TIME},Product Seen\nu,i,{TIME},Wish List Seen\nu,i,{TIME},seen\n")
    bad = [row for row in read_rows(path, detect(path, ImportOptions()), latest_ms=NOW_MS) if isinstance(row, BadRow)]
    assert bad[0].reason.endswith("say --map-type 'Product Seen=click' or --map-type 'Product Seen=ignore'")
    assert bad[2].reason.endswith("say --map-type seen=click or --map-type seen=ignore")
    screen = ImportScreen(Console(quiet=True), [], None)
    screen.rejected(bad)
    assert [one["rows"] for one in screen.report(ImportCounts())["reasons"]] == [3]
