"""Folders such as `dt=2026-01-01` are columns of the files in them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pytest
from pyarrow import parquet

from app.errors import UserError
from app.importing.filters import condition
from app.importing.inputs import found_files
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, ItemRow, Row, detect, detect_items, read_items, read_rows

NOW_MS: Final = 1_800_000_000_000
DAY_MS: Final = 1_714_521_600_000  # 1 May 2024


def written(path: Path, columns: Mapping[str, list[Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        parquet.write_table(pa.table(dict(columns)), path)
    elif path.suffix == ".csv":
        lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
        path.write_text("\n".join(lines))
    else:
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        path.write_text("\n".join(map(str, rows)).replace("'", '"'))
    return path


def events(path: Path, **options: Any) -> list[tuple[str, str, str, int] | str]:
    rows = read_rows(path, detect(path, ImportOptions(**options)), latest_ms=NOW_MS)
    return [
        (row.user_id, row.item_id, row.event_type, row.ts_ms) if isinstance(row, Row) else row.reason for row in rows
    ]


@pytest.mark.parametrize("name", ["part-0.parquet", "part-0.csv", "part-0.jsonl"])
def test_folders_are_columns_of_a_file(tmp_path: Path, name: str) -> None:
    for day, kind in (("2024-05-01", "view"), ("2024-05-02", "purchase")):
        written(tmp_path / f"dt={day}" / f"event_type={kind}" / name, {"user_id": ["u"], "item_id": ["i"]})
    (tmp_path / "_SUCCESS").touch()
    with found_files([str(tmp_path)]) as paths:
        found = [row for path in paths for row in events(path)]
    assert found == [("u", "i", "view", DAY_MS), ("u", "i", "purchase", DAY_MS + 86_400_000)]


@pytest.mark.parametrize("name", ["part-00000", "part-m-00012.gz", "000000_0", "000001_0_copy_2.bz2"])
def test_parts_of_a_folder_need_no_ending(tmp_path: Path, name: str) -> None:
    written(tmp_path / "dt=2024-05-01" / "log.csv", {"user_id": ["u"]}).rename(tmp_path / "dt=2024-05-01" / name)
    (tmp_path / "dt=2024-05-01" / "README").touch()
    with found_files([str(tmp_path)]) as paths:
        assert [path.name for path in paths] == [name]


def test_column_of_the_file_wins_over_its_folder(tmp_path: Path) -> None:
    own = {"user_id": ["u"], "item_id": ["i"], "created_at": [DAY_MS // 1000 + 60]}
    path = written(tmp_path / "date=2024-05-01" / "type=view" / "log.csv", own)
    assert events(path) == [("u", "i", "view", DAY_MS + 60_000)]
    assert events(path, columns={"time": "date"}) == [("u", "i", "view", DAY_MS)]
    same = written(tmp_path / "type=click" / "log.csv", {**own, "type": ["view"]})
    assert events(same) == [("u", "i", "view", DAY_MS + 60_000)]


def test_folders_name_parts_of_a_time_and_what_is_taken(tmp_path: Path) -> None:
    own = {"user": ["u"], "item": ["i"]}
    path = written(tmp_path / "year=2024" / "month=05" / "day=01" / "hour=07" / "kind=view" / "log.csv", own)
    columns = {"time": "year+month+day+hour", "event_type": "kind"}
    assert events(path, columns=columns) == [("u", "i", "view", DAY_MS + 7 * 3_600_000)]
    assert events(path, columns=columns, where=(condition("hour<7"),)) == []
    with pytest.raises(UserError, match="--where minute>1: the file has no column minute; it has user, item, year"):
        events(path, columns=columns, where=(condition("minute>1"),))


def test_names_and_values_of_folders_are_decoded_and_may_be_missing(tmp_path: Path) -> None:
    own = {"item": ["i"], "event_type": ["view"], "ts": [DAY_MS]}
    spelt = written(tmp_path / "user%20id=a%2Fb%3Dc" / "log.csv", own)
    assert events(spelt) == [("a/b=c", "i", "view", DAY_MS)]
    missing = written(tmp_path / "user_id=__HIVE_DEFAULT_PARTITION__" / "log.csv", own)
    assert events(missing) == ["user_id: the value is missing"]


def test_line_that_needs_its_folder_is_a_row_when_a_quote_is_open(tmp_path: Path) -> None:
    path = tmp_path / "dt=2024-05-01" / "log.csv"
    path.parent.mkdir()
    path.write_text('user,item,type,title\nu1,i1,view,"5\nu2,i2,view,a\nu3,i3,view,b\nu4,i4,view,"c"\n')
    rows = list(read_rows(path, detect(path, ImportOptions()), latest_ms=NOW_MS))
    assert [row.line for row in rows if isinstance(row, BadRow)] == [2]
    assert [row.user_id for row in rows if isinstance(row, Row)] == ["u2", "u3", "u4"]


def test_folder_is_the_category_of_a_catalogue(tmp_path: Path) -> None:
    path = written(tmp_path / "category=tents" / "items.parquet", {"sku": ["t1"], "title": ["Tent"]})
    (row,) = read_items(path, detect_items(path, ImportOptions()))
    assert isinstance(row, ItemRow)
    assert row.categories == ["tents"]


MARKERS: Final = [
    ("_delta_log/0.json", "Delta Lake"),
    (".hoodie/x", "Hudi"),
    ("metadata/v1.metadata.json", "Iceberg"),
]


@pytest.mark.parametrize(("marker", "kind"), MARKERS)
@pytest.mark.parametrize("named", ["", "events", "events/data", "events/data/dt=1", "events/*", "ev*", "link"])
def test_table_with_versions_is_not_read_as_a_folder_of_files(
    tmp_path: Path, named: str, marker: str, kind: str
) -> None:
    table = tmp_path / "events"
    path = written(table / "data" / "dt=1" / "part-0.parquet", {"user_id": ["u"], "item_id": ["i"]})
    (table / marker).parent.mkdir()
    (table / marker).touch()
    (tmp_path / "link").symlink_to(path.parent)
    with (
        pytest.raises(UserError, match=f"^{table} is a table of {kind}, whose folder may"),
        found_files([str(tmp_path / named)]),
    ):
        pass
    for files in (f"{table}/**/*.parquet", str(path)):
        with found_files([files]) as paths:
            assert paths == [path]


@pytest.mark.parametrize(
    "other",
    ["metadata/x.metadata.json", "logs/_old/_delta_log/0.json", "logs/.old/.hoodie/x", "other/_delta_log/0.json"],
)
def test_table_whose_files_are_not_read_keeps_no_folder_out(tmp_path: Path, other: str) -> None:
    path = written(tmp_path / "logs" / "data" / "part-0.parquet", {"user_id": ["u"], "item_id": ["i"]})
    (tmp_path / other).parent.mkdir(parents=True)
    (tmp_path / other).touch()
    with found_files([str(tmp_path / "logs")]) as paths:
        assert paths == [path]
