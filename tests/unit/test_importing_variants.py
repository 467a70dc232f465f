"""Files as other programs write them: what stands in front of the header, rare delimiters, names, JSON and times."""

import time
from pathlib import Path
from typing import Final

import pyarrow
import pytest
from pyarrow import parquet

from app.errors import UserError
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, Row, detect, read_rows
from tests.support.workbook import workbook

NOW_MS: Final = time.time_ns() // 1_000_000
HEADER: Final = "user_id,item_id,event_type,timestamp\n"
ROWS: Final = "u1,i1,view,2024-05-01T10:00:00Z\nu2,i2,click,2024-05-01T11:00:00Z\n"
MS: Final = 1_714_557_600_000
OBJECTS: Final = (
    '{"user_id": "u1", "item_id": "i1", "event_type": "view", "timestamp": 1714557600}',
    '{"user_id": "u2", "item_id": "i2", "event_type": "click", "timestamp": 1714561200}',
)


def read(path: Path, content: str, **options: object) -> list[Row | BadRow]:
    path.write_bytes(content.encode())
    source = detect(path, ImportOptions(**options))
    return list(read_rows(path, source, latest_ms=NOW_MS))


def found(rows: list[Row | BadRow]) -> list[tuple[str, str, int] | str]:
    return [row.reason if isinstance(row, BadRow) else (row.user_id, row.item_id, row.ts_ms) for row in rows]


BOTH: Final = [("u1", "i1", MS), ("u2", "i2", MS + 3_600_000)]


@pytest.mark.parametrize(
    "content",
    [
        "# an export, of May\n#\n" + HEADER + ROWS,
        "\n\n" + HEADER + ROWS,
        "#" + HEADER + ROWS,
        "# from 2024-05-01, to 2024-05-02\n# " + HEADER + ROWS,
        "sep=;\r\n" + (HEADER + ROWS).replace(",", ";").replace("\n", "\r\n"),
        'SEP=,\n"user_id","item_id","event_type","timestamp"\n' + ROWS,
        (HEADER + ROWS).replace(",", "^"),
        (HEADER + ROWS).replace(",", "~"),
        (HEADER + ROWS).replace(",", "\x01"),
        (HEADER + ROWS).replace(",", " "),
        HEADER.replace("\n", ",note,note\n") + ROWS.replace("\n", ",a,b\n"),
        HEADER + ROWS.replace("\n", ",\n"),
        (HEADER + ROWS).replace(",", "   "),
        HEADER + "1,u1,i1,view,2024-05-01T10:00:00Z\n2,u2,i2,click,2024-05-01T11:00:00Z\n",
        "user_id,item_id,event_type,date,time\nu1,i1,view,2024-05-01,10:00\nu2,i2,click,2024-05-01,11:00\n",
        "user_id,item_id,event_type,Date,Time\nu1,i1,view,2024/5/1,10:00 AM\nu2,i2,click,2024/5/1,11:00 AM\n",
    ],
)
def test_delimited_text_is_read_as_meant(tmp_path: Path, content: str) -> None:
    assert found(read(tmp_path / "log.csv", content)) == BOTH


@pytest.mark.parametrize(
    "content",
    [
        '{"data": [' + ", ".join(OBJECTS) + '], "count": 2}',
        '{"meta": {"page": 1},\n "result": {"records": [\n  ' + ",\n  ".join(OBJECTS) + "\n]}}",
        "\n".join(OBJECTS).replace("}", ', "price": NaN}'),
        "[" + ",\n".join(OBJECTS).replace("}", ', "price": [-Infinity, {"was": NaN}]}') + "]",
    ],
)
def test_json_is_read_as_meant(tmp_path: Path, content: str) -> None:
    assert found(read(tmp_path / "log.json", content)) == BOTH


def test_numbers_that_are_none_do_not_hide_other_faults_of_the_line(tmp_path: Path) -> None:
    rows = read(tmp_path / "log.jsonl", f'{OBJECTS[0]}\n{{"user_id": "NaN"\n{OBJECTS[1]}\n')
    assert [type(row) for row in rows] == [Row, BadRow, Row]


def test_user_is_missing_where_the_number_is_none(tmp_path: Path) -> None:
    rows = read(tmp_path / "log.jsonl", "\n".join(OBJECTS).replace('"u1"', "NaN"))
    assert found(rows)[0] == "user_id: the value is missing"


def test_two_columns_of_a_name_that_counts_are_asked_about(tmp_path: Path) -> None:
    content = "user_id,item_id,event_type,timestamp,item_id\nu1,i1,view,2024-05-01T10:00:00Z,other\n"
    with pytest.raises(UserError, match=r"--map 'item_id=item_id \(2\)' for the second"):
        read(tmp_path / "log.csv", content)
    assert found(read(tmp_path / "log.csv", content, columns={"item_id": "item_id"})) == BOTH[:1]
    rows = read(tmp_path / "log.csv", content, columns={"item_id": "item_id (2)"})
    assert found(rows) == [("u1", "other", MS)]


@pytest.mark.parametrize(
    "time_text",
    [
        "2024-05-01T12:00:00+02:00[Europe/Berlin]",
        "2024-05-01T10:00:00Z[UTC]",
        "2024-05-01 10:00:00 AM",
        "Wed, 01 May 2024 10:00:00 GMT",
        "Wed, 01 May 2024 12:00:00 +0200",
    ],
)
def test_time_of_a_usual_form_is_read(tmp_path: Path, time_text: str) -> None:
    content = f'{HEADER}u1,i1,view,"{time_text}"\n'
    assert found(read(tmp_path / "log.csv", content)) == BOTH[:1]


def test_titles_above_a_table_and_sheets_about_something_else_are_left_out(tmp_path: Path) -> None:
    header = ["user_id", "item_id", "event_type", "timestamp"]
    sheets: dict[str, list[list[str | float]]] = {
        "Notes": [["made for the shop"]],
        "May": [["Report of May"], [], [*header], ["u1", "i1", "view", "2024-05-01T10:00:00Z"]],
        "Prices": [["sku", "price"], ["i1", 3.5]],
        "June": [[*reversed(header)], ["2024-05-01T11:00:00Z", "click", "i2", "u2"]],
    }
    path = tmp_path / "log.xlsx"
    path.write_bytes(workbook(sheets))
    assert found(list(read_rows(path, detect(path, ImportOptions()), latest_ms=NOW_MS))) == BOTH


def test_workbook_without_a_table_says_so(tmp_path: Path) -> None:
    path = tmp_path / "log.xlsx"
    path.write_bytes(workbook({"Notes": [["made for the shop"]]}))
    with pytest.raises(UserError, match="no sheet of the workbook has a row with the names of columns"):
        detect(path, ImportOptions())


def test_text_that_a_parquet_file_holds_as_bytes_is_text(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    columns = {"user_id": [b"u1", b"\xff"], "item_id": [b"i1", None], "event_type": [b"view", b"view"]}
    parquet.write_table(pyarrow.table({**columns, "timestamp": [MS, MS]}), path)
    rows = list(read_rows(path, detect(path, ImportOptions()), latest_ms=NOW_MS))
    assert found(rows) == [BOTH[0], "user_id: b'\\xff' is not a valid id"]
