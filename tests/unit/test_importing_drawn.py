"""Tables as more clients draw them: in boxes with types, with the names in a line, and with dashes below the names."""

from pathlib import Path
from typing import Final

import pytest

from app.errors import UserError
from app.importing.boxed_tables import CUT_OFF, LEFT_OUT
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, detect, read_rows

NOW_MS: Final = 1_800_000_000_000
MS: Final = 1_714_557_600_000  # 1 May 2024, 10:00 UTC
ROWS: Final = [("u1", "i1", "view", MS), ("u2", "i2", "click", MS + 3_600_000)]


def found(path: Path, content: str, **options: object) -> list[tuple[str, str, str, int] | str]:
    path.write_text(content)
    source = detect(path, ImportOptions(columns={"time": "created_at"}, **options))
    rows = read_rows(path, source, latest_ms=NOW_MS)
    return [r.reason if isinstance(r, BadRow) else (r.user_id, r.item_id, r.event_type, r.ts_ms) for r in rows]


DUCKDB: Final = """\
D SELECT * FROM events;
┌─────────┬─────────┬────────────┬─────────────────────┬───────────┐
│ user_id │ item_id │ event_type │     created_at      │   note    │
│ varchar │ varchar │  varchar   │      timestamp      │  varchar  │
├─────────┼─────────┼────────────┼─────────────────────┼───────────┤
│ u1      │ i1      │ view       │ 2024-05-01 10:00:00 │ NULL      │
│ u2      │ i2      │ click      │ 2024-05-01 11:00:00 │ a | b     │
├─────────┴─────────┴────────────┴─────────────────────┴───────────┤
│ 2 rows                                                 5 columns │
└──────────────────────────────────────────────────────────────────┘
"""
DUCKDB_2: Final = DUCKDB.replace("├─────────┴", "└─────────┴").partition("│ 2 rows")[0] + "  2 rows        5 columns\n"
POLARS: Final = """\
shape: (2, 4)
┌─────────┬─────────┬────────────┬─────────────────────┐
│ user_id ┆ item_id ┆ event_type ┆ created_at          │
│ ---     ┆ ---     ┆ ---        ┆ ---                 │
│ str     ┆ str     ┆ str        ┆ datetime[μs]        │
╞═════════╪═════════╪════════════╪═════════════════════╡
│ u1      ┆ i1      ┆ view       ┆ 2024-05-01 10:00:00 │
│ u2      ┆ i2      ┆ click      ┆ 2024-05-01 11:00:00 │
└─────────┴─────────┴────────────┴─────────────────────┘
"""
POLARS_ASCII: Final = """\
shape: (2, 4)
+---------+---------+------------+---------------------+
| user_id | item_id | event_type | created_at          |
| ---     | ---     | ---        | ---                 |
| str     | str     | str        | datetime[μs]        |
+======================================================+
| u1      | i1      | view       | 2024-05-01 10:00:00 |
|---------+---------+------------+---------------------|
| u2      | i2      | click      | 2024-05-01 11:00:00 |
+---------+---------+------------+---------------------+
"""
POLARS_MARKDOWN: Final = POLARS_ASCII.replace(f"+{'=' * 54}+", "|---|---|---|---|")
POLARS_FULL: Final = POLARS.replace("│ u2", "├╌╌╌╌╌╌╌╌╌┼╌╌╌╌╌╌╌╌╌┼╌╌╌╌╌╌╌╌╌╌╌╌┼╌╌╌╌╌╌╌╌╌┤\n│ u2")
CLICKHOUSE: Final = """\
   ┌─user_id─┬─item_id─┬─event_type─┬──────────created_at─┐
1. │ u1      │ i1      │ view       │ 2024-05-01 10:00:00 │
2. │ u2      │ i2      │ click      │ 2024-05-01 11:00:00 │
   └─────────┴─────────┴────────────┴─────────────────────┘

2 rows in set. Elapsed: 0.002 sec.
"""
CLICKHOUSE_PRETTY: Final = """\
┏━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━┓
┃ user_id ┃ item_id ┃ event_type ┃          created_at ┃
┡━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━┩
│ u1      │ i1      │ view       │ 2024-05-01 10:00:00 │
├─────────┼─────────┼────────────┼─────────────────────┤
│ u2      │ i2      │ click      │ 2024-05-01 11:00:00 │
└─────────┴─────────┴────────────┴─────────────────────┘
"""
SNOWSQL: Final = """\
+---------+---------+------------+---------------------+
| USER_ID | ITEM_ID | EVENT_TYPE | created_at          |
|---------+---------+------------+---------------------|
| u1      | i1      | view       | 2024-05-01 10:00:00 |
| u2      | i2      | click      | 2024-05-01 11:00:00 |
+---------+---------+------------+---------------------+
2 Row(s) produced. Time Elapsed: 0.123s
"""
SQLCMD: Final = """\
Changed database context to 'shop'.
user_id    item_id    event_type created_at              n
---------- ---------- ---------- ----------------------- -----------
u1         i1         view       2024-05-01 10:00:00.000           1
u2         i2         click      2024-05-01 11:00:00.000        NULL

(2 rows affected)
"""
SQLITE_COLUMN: Final = """\
user_id  item_id  event_type  created_at
-------  -------  ----------  -------------------
u1       i1       view        2024-05-01 10:00:00
u2       i2       click       2024-05-01 11:00:00
"""
POWERSHELL: Final = """

user_id item_id event_type created_at
------- ------- ---------- ----------
u1      i1      view       2024-05-01 10:00:00
u2      i2      click      2024-05-01 11:00:00

"""
SQLPLUS: Final = """\
USER_ID    ITEM_ID    EVENT_TYPE created_at
---------- ---------- ---------- --------------------
u1         i1         view       2024-05-01 10:00:00

USER_ID    ITEM_ID    EVENT_TYPE created_at
---------- ---------- ---------- --------------------
u2         i2         click      2024-05-01 11:00:00

2 rows selected.
"""
DB2: Final = f"{SQLITE_COLUMN}\n  2 record(s) selected.\n\n"
SQLCMD_COMMAS: Final = """\
user_id,item_id,event_type,created_at
-------,-------,----------,----------
u1,i1,view,2024-05-01 10:00:00.000
u2,i2,click,2024-05-01 11:00:00.000

(2 filas afectadas)
"""


@pytest.mark.parametrize(
    "table",
    [
        *(DUCKDB, DUCKDB_2, POLARS, POLARS_ASCII, POLARS_MARKDOWN, POLARS_FULL, CLICKHOUSE, CLICKHOUSE_PRETTY, SNOWSQL),
        *(SQLCMD, SQLITE_COLUMN, POWERSHELL, SQLPLUS, DB2, SQLCMD_COMMAS),
        *(SQLCMD_COMMAS.replace(",", mark) for mark in ";\t^~|"),
        SQLCMD.replace("\n", "\r\n"),
    ],
)
def test_table_is_read_as_its_client_drew_it(tmp_path: Path, table: str) -> None:
    assert found(tmp_path / "log", table) == ROWS


def test_rule_between_rows_makes_no_row_a_type(tmp_path: Path) -> None:
    rule = "+---------+---------+------------+---------------------+"
    grid = f"{rule}\n| user_id | item_id | event_type | created_at          |\n{rule}\n"
    grid += f"| u1      | i1      | view       | 2024-05-01 10:00:00 |\n{rule}\n"
    grid += f"| u2      | i2      | click      | 2024-05-01 11:00:00 |\n{rule}\n"
    assert found(tmp_path / "log", grid) == ROWS


@pytest.mark.parametrize(
    "listed",
    [
        "mysql> SELECT * FROM events\\G\n*************************** 1. row ***************************\nuser_id: u1\n",
        "-[ RECORD 1 ]----------\nuser_id    | u1\nitem_id    | i1\n",
    ],
)
def test_list_with_a_line_for_each_value_is_refused_with_what_to_do(tmp_path: Path, listed: str) -> None:
    with pytest.raises(UserError, match="let the client write rows"):
        found(tmp_path / "log", listed)


def test_delimiter_may_be_given_for_values_below_a_line_of_dashes(tmp_path: Path) -> None:
    assert found(tmp_path / "log", SQLCMD_COMMAS, delimiter=",") == ROWS


def test_rows_that_the_client_left_out_are_told(tmp_path: Path) -> None:
    dots = "│    ·    │    ·    │     ·      │          ·          │     ·     │\n"
    at = DUCKDB.index("│ u2 ")
    assert found(tmp_path / "log", DUCKDB[:at] + dots * 3 + DUCKDB[at:]) == [ROWS[0], *[LEFT_OUT] * 3, ROWS[1]]


def test_id_that_the_client_cut_off_is_none(tmp_path: Path) -> None:
    assert found(tmp_path / "log", DUCKDB.replace("│ u1      │", "│ u1-01…  │")) == [CUT_OFF, ROWS[1]]
    column_left_out = DUCKDB.replace("note   ", "…      ").replace("NULL ", "…    ").replace("a | b", "…    ")
    assert found(tmp_path / "log", column_left_out) == ROWS


def test_value_that_is_not_below_its_name_costs_its_row(tmp_path: Path) -> None:
    told = found(tmp_path / "log", SQLCMD.replace("u1         i1  ", "u1-00000001 i1 "))
    assert told == ["1 values, but there are 5 columns", ROWS[1]]


def test_value_may_hold_the_mark_that_stands_between_values(tmp_path: Path) -> None:
    assert found(tmp_path / "log", SQLCMD.replace("u1 ", "u│1")) == [("u|1", "i1", "view", MS), ROWS[1]]
    assert found(tmp_path / "log", SNOWSQL.replace("u1 ", r"u\|1")) == [("u|1", "i1", "view", MS), ROWS[1]]


def test_row_of_dashes_among_others_is_a_row(tmp_path: Path) -> None:
    content = "user_id,item_id,event_type,created_at\nu1,i1,view,1714557600\n--,--,--,--\nu2,i2,click,1714561200\n"
    told = found(tmp_path / "log", content)
    assert told[::2] == ROWS
    assert isinstance(told[1], str)
    told = found(tmp_path / "log", content.replace(",", " "))
    assert told[::2] == ROWS
    assert isinstance(told[1], str)
