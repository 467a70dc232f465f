"""Tables as they are pasted, JSON in text, and times with units or months of other languages."""

import json
from pathlib import Path
from typing import Final

import pytest

from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, detect, read_rows

NOW_MS: Final = 1_800_000_000_000
MS: Final = 1_714_557_600_000  # 1 May 2024, 10:00 UTC
BOTH: Final = [("u1", "i1", "view", MS), ("u2", "i2", "click", MS + 3_600_000)]


def found(path: Path, content: str, **options: object) -> list[tuple[str, str, str, int] | str]:
    path.write_text(content)
    rows = read_rows(path, detect(path, ImportOptions(**options)), latest_ms=NOW_MS)
    return [r.reason if isinstance(r, BadRow) else (r.user_id, r.item_id, r.event_type, r.ts_ms) for r in rows]


MYSQL: Final = """\
mysql> SELECT * FROM events;
+---------+---------+------------+---------------------+------+
| user_id | item_id | event_type | created_at          | note |
+---------+---------+------------+---------------------+------+
| u1      | i1      | view       | 2024-05-01 10:00:00 | NULL |
| u2      | i2      | click      | 2024-05-01 11:00:00 |      |
+---------+---------+------------+---------------------+------+
2 rows in set (0.00 sec)

mysql>
"""
PSQL: Final = """\
 user_id | item_id | event_type |     created_at      | note
---------+---------+------------+---------------------+------
 u1      | i1      | view       | 2024-05-01 10:00:00 |
 u2      | i2      | click      | 2024-05-01 11:00:00 | x
(2 rows)

"""
UNICODE: Final = """\
┌─────────┬─────────┬────────────┬─────────────────────┬──────┐
│ user_id │ item_id │ event_type │     created_at      │ note │
├─────────┼─────────┼────────────┼─────────────────────┼──────┤
│ u1      │ i1      │ view       │ 2024-05-01 10:00:00 │      │
│ u2      │ i2      │ click      │ 2024-05-01 11:00:00 │ x    │
└─────────┴─────────┴────────────┴─────────────────────┴──────┘
"""
MARKDOWN: Final = """\
The events of May:

| user_id | item_id | event_type | created_at | note |
|:--------|--------:|------------|:----------:|---|
| u1 | i1 | view | 2024-05-01 10:00:00 | |
| u2 | i2 | click | 2024-05-01 11:00:00 | x |
"""
SQLITE: Final = UNICODE.translate(str.maketrans("│┌┬┐├┼┤└┴┘─", "|+++++++++-"))


@pytest.mark.parametrize("table", [MYSQL, PSQL, UNICODE, MARKDOWN, SQLITE, MYSQL.replace("\n", "\r\n")])
def test_pasted_table_is_read_as_meant(tmp_path: Path, table: str) -> None:
    assert found(tmp_path / "log", table, columns={"time": "created_at"}) == BOTH


def test_bad_line_of_a_pasted_table_costs_itself_and_keeps_its_number(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(MARKDOWN.replace("| u1 | i1 |", "| u1 |"))
    rows = list(read_rows(path, detect(path, ImportOptions(columns={"time": "created_at"})), latest_ms=NOW_MS))
    assert [row.line for row in rows] == [5, 6]
    assert isinstance(rows[0], BadRow)
    assert rows[0].reason == "4 values, but there are 5 columns"


def test_bars_and_dashes_in_other_files_draw_nothing(tmp_path: Path) -> None:
    content = "user|item|type|ts|note\nu1|i1|view|1714557600|---\nu2|i2|click|1714561200|--+--\n"
    assert found(tmp_path / "log", content) == BOTH
    assert found(tmp_path / "log", "user,item,type,ts,note\nu1,i1,view,1714557600,a | b\n-,-,-,-,--\n")[:1] == BOTH[:1]


INNER: Final = [
    {"user_id": "u1", "item_id": "i1", "event_type": "view", "ts": MS},
    {"user_id": "u2", "item_id": "i2", "event_type": "click", "ts": MS + 3_600_000},
]


def test_json_within_json_text_is_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "log"
    texts = list(map(json.dumps, INNER))
    assert found(path, "".join(json.dumps({"offset": 7, "value": text}) + "\n" for text in texts)) == BOTH
    assert found(path, "".join(json.dumps(text) + "\n" for text in texts)) == BOTH
    assert found(path, json.dumps({"at": "x", "events": json.dumps(INNER)}) + "\n") == BOTH
    quoted = "".join('7,"' + text.replace('"', '""') + '"\n' for text in texts)
    assert found(path, f"offset,payload\n{quoted}") == BOTH


def test_text_that_is_no_json_costs_its_line(tmp_path: Path) -> None:
    lines = [json.dumps({"value": json.dumps(INNER[0])}), json.dumps({"value": "{not JSON"}), '"{\\"user_id\\": 1"']
    told = found(tmp_path / "log", "\n".join(lines))
    assert told[0] == BOTH[0]
    assert [type(row) for row in told[1:]] == [str, str]


@pytest.mark.parametrize(
    "text",
    [
        *("1714557600s", "1714557600.0s", "1714557600000ms", "1714557600000000us", "1714557600000000µs"),
        *("1714557600000000000ns", "1714557600000 ms", "'1714557600'", '"1714557600000"'),
        *("1. Mai 2024 10:00", "Mittwoch, 1. Mai 2024 10:00:00", "1 mai 2024 10:00", "mer. 1 mai 2024 10:00"),
        *(
            "1er mai 2024 10:00",
            "1 de mayo de 2024 10:00:00",
            "miércoles, 1 de mayo de 2024 10:00",
            "1 maggio 2024 10:00",
        ),
        *("1 de maio de 2024 10:00", "quarta-feira, 1 de maio de 2024 10:00", "1 mei 2024 10:00", "1 maj 2024 10:00"),
        *("1 maja 2024 10:00", "1 Mayıs 2024 10:00", "1 мая 2024 г. 10:00", "1 травня 2024 10:00", "01-mai-24 10:00"),
    ],
)
def test_time_of_another_form_is_read_as_meant(tmp_path: Path, text: str) -> None:
    assert found(tmp_path / "log", f"user;item;type;ts\nu1;i1;view;{text}\n", quote="") == BOTH[:1]


def test_months_of_a_file_may_be_short_and_long_in_their_language(tmp_path: Path) -> None:
    months = ["janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc."]
    rows = "".join(f"u;i;view;mar. 2 {month} 2024 10:00\n" for month in months)
    assert [row[3] for row in found(tmp_path / "log", f"user;item;type;ts\n{rows}")] == [
        1_704_189_600_000 + 86_400_000 * days for days in (0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335)
    ]


def test_words_that_are_no_month_stay_what_they_are(tmp_path: Path) -> None:
    (reason,) = found(tmp_path / "log", "user;item;type;ts\nu1;i1;view;1 Marketing 2024\n")
    assert "neither a number nor ISO 8601" in str(reason)
