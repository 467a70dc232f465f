"""Lists in a row: of objects with an item each, and of ids."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, detect, read_rows

NOW_MS: Final = 1_800_000_000_000
EVENT: Final[dict[str, Any]] = {"user": "u", "ts": 1_700_000_000, "type": "purchase"}


def found(path: Path, content: str, **columns: str) -> list[tuple[str, str] | str]:
    """User and item of each row, or why it was rejected."""
    path.write_text(content)
    rows = read_rows(path, detect(path, ImportOptions(columns=columns)), latest_ms=NOW_MS)
    return [row.reason if isinstance(row, BadRow) else (row.user_id, row.item_id) for row in rows]


@pytest.mark.parametrize(
    "event",
    [
        {"items": [{"sku": "a"}, {"sku": "b"}]},
        {"line_items": [{"product_id": "a", "price": 3}, {"product_id": "b"}], "tags": [{"name": "x"}]},
        {"order": {"lines": [{"Product ID": "a"}, {"Product ID": "b"}]}},
        {"items": json.dumps([{"sku": "a"}, {"sku": "b"}])},
    ],
)
def test_list_of_objects_with_items_is_found(tmp_path: Path, event: dict[str, Any]) -> None:
    assert found(tmp_path / "log", json.dumps(EVENT | event)) == [("u", "a"), ("u", "b")]


def test_list_beside_an_item_stays_what_it_is(tmp_path: Path) -> None:
    assert found(tmp_path / "log", json.dumps(EVENT | {"item": "i", "also": [{"sku": "a"}]})) == [("u", "i")]


def test_item_that_is_a_list_of_ids_is_a_row_for_each(tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines = "".join(json.dumps(EVENT | {"basket": basket}) + "\n" for basket in (["a", 2], "c", [], [None]))
    rows = [("u", "a"), ("u", "2"), ("u", "c"), "basket: the value is missing"]
    assert found(log, lines, item_id="basket") == rows
    assert found(log, lines.replace("basket", "item"))[:3] == rows[:3]
    quoted = '"[""a"", ""b""]"'
    of_python = """"['a', 'b']\""""
    for cell in (quoted, of_python):
        content = f"user,ts,type,items\nu,1700000000,view,{cell}\n"
        assert found(log, content, item_id="items") == [("u", "a"), ("u", "b")]


def test_path_may_name_a_place_in_a_list(tmp_path: Path) -> None:
    event = EVENT | {"basket": [{"sku": "a"}, {"sku": "b"}], "ids": ["c", "d"], "code": "e"}
    assert found(tmp_path / "log", json.dumps(event), item_id="basket.1.sku") == [("u", "b")]
    assert found(tmp_path / "log", json.dumps(event), item_id="ids.0") == [("u", "c")]
    assert found(tmp_path / "log", json.dumps(event), item_id="ids.2") == ["ids.2: the value is missing"]
    # An event whose item is named is one, whatever list is beside it.
    assert found(tmp_path / "log", json.dumps(event), item_id="code") == [("u", "e")]
    rows = {"user": "u", "type": "view", "ts": 1_700_000_000, "data": [{"sku": "a"}, {"sku": "b"}]}
    assert found(tmp_path / "log", json.dumps(rows), item_id="data.1.sku") == [("u", "b")]


def test_list_of_events_with_something_else_in_it_loses_that_alone(tmp_path: Path) -> None:
    told = found(tmp_path / "log", json.dumps(EVENT | {"events": [{"item": "a"}, "b"]}))
    assert told == [("u", "a"), "events: a list of objects is expected"]
