"""JSON as databases, search engines and change feeds export it, and the forms that are refused with a word."""

import json
import time
from pathlib import Path
from typing import Any, Final

import pytest

from app.errors import UserError
from app.importing.lines import MAX_LINE_BYTES
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, detect, detect_items, read_items, read_rows

NOW_MS: Final = time.time_ns() // 1_000_000
MS: Final = 1_714_557_600_000
ROWS: Final[list[dict[str, Any]]] = [
    {"user_id": "u1", "item_id": "i1", "event_type": "view", "timestamp": MS // 1000},
    {"user_id": "u2", "item_id": "i2", "event_type": "click", "timestamp": MS // 1000},
]
LISTS: Final = [list(ROWS[0]), *(list(row.values()) for row in ROWS)]
BOTH: Final = [("u1", "i1", MS), ("u2", "i2", MS)]
MONGO: Final = {"_id": {"$oid": "6"}, "user_id": {"$oid": "u1"}, "item_id": {"$numberLong": "17"}, "event_type": "view"}


def read(path: Path, content: str, **options: Any) -> list[tuple[str, str, int] | str]:
    path.write_text(content)
    rows = read_rows(path, detect(path, ImportOptions(**options)), latest_ms=NOW_MS)
    return [row.reason if isinstance(row, BadRow) else (row.user_id, row.item_id, row.ts_ms) for row in rows]


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_only_row_of_a_file_may_hold_lists_of_lists(tmp_path: Path) -> None:
    path = tmp_path / "meta"
    path.write_text('{"asin": "B1", "title": "Tutu", "categories": [["Sports", "Dance"], ["Toys"]]}\n')
    (item,) = read_items(path, detect_items(path, ImportOptions()))
    assert not isinstance(item, BadRow)
    assert (item.item_id, item.categories) == ("B1", ["Sports", "Dance", "Toys"])


@pytest.mark.parametrize(
    "at",
    [
        {"$date": "2024-05-01T10:00:00Z"},
        {"$date": MS},
        {"$date": {"$numberLong": str(MS)}},
        {"$numberDouble": str(MS / 1000)},
    ],
)
def test_extended_json_of_mongodb_is_read(tmp_path: Path, at: dict[str, Any]) -> None:
    assert read(tmp_path / "log", lines([MONGO | {"timestamp": at}])) == [("u1", "17", MS)]
    assert read(tmp_path / "log", json.dumps([MONGO | {"timestamp": at}])) == [("u1", "17", MS)]


def test_an_export_of_dynamodb_is_read(tmp_path: Path) -> None:
    item = {
        "user_id": {"S": "u1"},
        "timestamp": {"N": str(MS)},
        "event_type": {"S": "view"},
        "coupon": {"NULL": True},
        "events": {"L": [{"M": {"item_id": {"S": "i1"}}}, {"M": {"item_id": {"S": "i2"}}}]},
    }
    assert read(tmp_path / "log", lines([{"Item": item}])) == [("u1", "i1", MS), ("u1", "i2", MS)]


@pytest.mark.parametrize(
    "content",
    [
        "".join(f"\x1e{json.dumps(row)}\n" for row in ROWS),
        "".join(f"\x1e{json.dumps(row, indent=1)}\n" for row in ROWS),
        lines([{"_index": "log", "_id": "1", "_source": row} for row in ROWS]),
        json.dumps({"took": 1, "hits": {"total": 2, "hits": [{"_id": "1", "_source": row} for row in ROWS]}}),
        lines([{"before": None, "after": row, "op": "c", "ts_ms": MS + 1} for row in ROWS]),
        lines([{"schema": {"type": "struct"}, "payload": {"after": row, "op": "c"}} for row in ROWS]),
        lines([row | {"user": {"id": row["user_id"], "name": "x"}, "user_id": None} for row in ROWS]).replace(
            '"user_id": null, ', ""
        ),
        json.dumps(LISTS),
        json.dumps(LISTS, indent=1),
        lines(LISTS),
        "".join(f"{row!r}\n" for row in ROWS),
    ],
)
def test_json_of_other_programs_is_read_as_meant(tmp_path: Path, content: str) -> None:
    assert read(tmp_path / "log", content) == BOTH


def test_lists_without_names_are_named_by_an_option(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the first one has no column names\. Name the columns: --header"):
        read(tmp_path / "log", lines(LISTS[1:]))
    content = lines([*LISTS[1:], ["u3"], {"user_id": "u4"}])
    assert read(tmp_path / "log", content, header=tuple(LISTS[0])) == [*BOTH, "1 values, but there are 4 columns"]


@pytest.mark.slow
def test_an_array_on_one_line_may_be_of_any_length(tmp_path: Path) -> None:
    row = json.dumps(ROWS[0] | {"note": 'x } "{ \\ ' + "x" * 50_000 + '"}'})
    count = MAX_LINE_BYTES // len(row) + 20
    found = read(tmp_path / "log", f"[{', '.join([row] * count)}]")
    assert found == [BOTH[0]] * count


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (json.dumps({"columns": LISTS[0], "data": LISTS[1:]}), "its rows are lists within an object"),
        (json.dumps({name: [row[name] for row in ROWS] for name in ROWS[0]}), "it has a list for each column"),
        (
            json.dumps({name: {str(n): row[name] for n, row in enumerate(ROWS)} for name in ROWS[0]}),
            "it has an object for each column",
        ),
        (json.dumps({"-Na": ROWS[0], "-Nb": ROWS[1]}), r"it has an object for each row, by keys; .* jq -c '\.\[\]'"),
        ("[{user_id:'u1',item_id:'i1'}]", "none of the first objects can be read: not JSON"),
    ],
)
def test_another_form_is_refused_with_what_to_do(tmp_path: Path, content: str, what: str) -> None:
    with pytest.raises(UserError, match=what):
        read(tmp_path / "log", content)


def test_products_of_amazon_as_python_wrote_them_are_read(tmp_path: Path) -> None:
    path = tmp_path / "meta.json"
    path.write_text("{'asin': '0001', 'title': \"Girl's\", 'categories': [['Sports', 'Dance']]}\n{'asin': '0002'}\n")
    (first, second) = read_items(path, detect_items(path, ImportOptions()))
    assert not isinstance(first, BadRow)
    assert (first.item_id, first.title, first.categories) == ("0001", "Girl's", ["Sports", "Dance"])
    assert not isinstance(second, BadRow)
    path.write_text("item_id,tags\ni1,\"['a', 'b']\"\n")
    (first,) = read_items(path, detect_items(path, ImportOptions()))
    assert not isinstance(first, BadRow)
    assert first.tags == ["a", "b"]


def test_comma_behind_the_last_value_or_object_is_none_too_many(tmp_path: Path) -> None:
    first, second = lines(ROWS).splitlines()
    for content in (
        f"{first},\n{second},\n",
        f"{first}\n{second},\n",
        f"{first[:-1]}, }}\n{second[:-1]},}},\n",
        f'[{first},\n{second[:-1]}, "note": "a,}} b", "tags": [1, ],}},]',
    ):
        assert read(tmp_path / "log", content) == BOTH
    broken = lines(ROWS[:1]) + '{"user_id": "u,}",, }\n' + lines(ROWS[1:])
    (_, reason, _) = read(tmp_path / "log", broken)
    assert isinstance(reason, str)
