import csv
import gzip
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.demo.purchases import SAMPLE
from app.errors import UserError
from app.importing import lines
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, Row, detect, read_rows
from app.importing.values import absent, id_text

NOW = 1_800_000_000_000
HEADER = "user,item,ts,type,title\n"
anywhere = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(path: Path, content: bytes | str, **options: object) -> list[Row | BadRow]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_rows(path, detect(path, ImportOptions(**options)), latest_ms=NOW))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log with a space.csv"


def told(rows: list[Row | BadRow]) -> list[tuple[int, str]]:
    """(line, item) of a row, (line, reason) of a bad one."""
    return [(row.line, row.item_id if isinstance(row, Row) else row.reason) for row in rows]


def test_the_sample_that_is_shipped() -> None:
    rows = list(read_rows(SAMPLE, detect(SAMPLE, ImportOptions()), latest_ms=NOW))
    good = [row for row in rows if isinstance(row, Row)]
    assert len(rows) == len(good) == 27_384
    assert len({row.user_id for row in good}) == 3_546
    assert len({row.item_id for row in good}) == 2_856
    assert len({row.session_id for row in good}) == 11_208
    assert {row.event_type for row in good} == {"purchase"}
    assert good[0].title == "BLUE COAT RACK PARIS FASHION"
    assert good[-1].pos == SAMPLE.stat().st_size


def test_nested_events_take_what_they_lack_from_the_line(log: Path) -> None:
    sessions = [
        {
            "session": 7,
            "events": [
                {"aid": 1, "ts": 1659304800025, "type": "clicks"},
                {"aid": 2, "ts": 1659304904511, "type": "carts"},
            ],
        },
        {"session": 8, "events": []},
        {"session": 9, "events": [{"aid": 3, "ts": 1659367719997, "type": "orders"}, 5, {"aid": 4, "type": "clicks"}]},
        {"session": 10, "events": "none"},
    ]
    rows = read(log, "\n".join(map(json.dumps, sessions)))
    assert told(rows) == [
        (1, "1"),
        (1, "2"),
        (3, "3"),
        (3, "events: a list of objects is expected"),
        (3, "ts: the time is missing"),
        (4, "events: a list of objects is expected"),
    ]
    assert [(row.user_id, row.event_type) for row in rows if isinstance(row, Row)] == [
        ("7", "click"),
        ("7", "view"),
        ("9", "purchase"),
    ]


def test_flat_json_lines_are_read_and_invalid_ones_are_bad(log: Path) -> None:
    good = '{"user_id": "u", "item_id": 5, "ts": 1700000000, "event_type": "view", "title": null}'
    bad = ["", "[1]", "{", '"text"', '{"user_id": "\\ud800"}', "[" * 100_000, '{"a": NaN}', "\x00"]
    rows = read(log, "\n".join([good, *bad, good]))
    assert [row.line for row in rows if isinstance(row, Row)] == [1, 10]
    assert [row.line for row in rows if isinstance(row, BadRow)] == [3, 4, 5, 6, 7, 8, 9]
    assert all(len(row.text) <= 2_000 for row in rows if isinstance(row, BadRow))


@pytest.mark.parametrize("pack", [lambda content: content, gzip.compress])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_in_its_variants(log: Path, pack, delimiter: str, end: str) -> None:
    text = "\ufeff" + (HEADER + 'u1,i1,1700000000,view,"a, ""b"""\n\nu2,i2,1700000001,click,é\n')
    if delimiter != ",":
        text = text.replace('"a, ""b"""', '"a"').replace(",", delimiter)
    rows = read(log, pack(text.replace("\n", end).encode()))
    assert told(rows) == [(2, "i1"), (4, "i2")]
    assert rows[-1].pos == log.stat().st_size


def test_a_value_may_hold_line_ends(log: Path) -> None:
    rows = read(log, HEADER + 'u1,i1,1700000000,view,"one\ntwo\n\nthree"\nu2,i2,1700000001,click,t\n')
    assert told(rows) == [(2, "i1"), (6, "i2")]
    assert isinstance(rows[0], Row)
    assert rows[0].title == "one\ntwo\n\nthree"


def test_a_quote_that_is_never_closed_costs_its_own_line_alone(log: Path) -> None:
    good = "".join(f"u{n},i{n},1700000000,view,t\n" for n in range(5_000))
    rows = read(log, HEADER + 'u,x,1700000000,view,"open\n' + good + 'u,y,1700000000,view,"open again\n' + good)
    bad = [row for row in rows if isinstance(row, BadRow)]
    assert [row.line for row in bad] == [2, 5_003]
    assert all("a quote on this line is never closed" in row.reason for row in bad)
    assert len(rows) == 10_002


def test_lines_with_too_few_or_too_many_values(log: Path) -> None:
    rows = read(log, HEADER + "u,i\nu,i,1700000000,view,t,x\nu,i,1700000000,view,t\n")
    assert told(rows) == [(2, "2 values, but there are 5 columns"), (3, "6 values, but there are 5 columns"), (4, "i")]


def test_ids_are_trimmed(log: Path) -> None:
    rows = read(log, "user, item, ts, type\nu1, i1 , 1700000000, view\n")
    assert told(rows) == [(2, "i1")]


def test_bytes_that_are_no_text(log: Path) -> None:
    content = HEADER.encode() + b"u,i,1700000000,view,caf\xe9\nu,i,1700000000,view,t\n"
    assert told(read(log, content)) == [(2, "not utf-8; say --encoding, for example latin-1"), (3, "i")]
    rows = read(log, content, encoding="latin-1")
    assert [row.title for row in rows if isinstance(row, Row)] == ["café", "t"]


def test_a_file_without_header(log: Path) -> None:
    rows = read(
        log,
        "196\t242\t3\t881250949\n186\t302\t3\t891717742\n",
        header=("user", "item", "rating", "ts"),
        event_type="view",
    )
    assert told(rows) == [(1, "242"), (2, "302")]


def test_a_line_of_endless_length(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1_000)
    rows = read(log, HEADER + "u," + "x" * 5_000 + ",1700000000,view,t\nu,i,1700000000,view,t\n")
    assert told(rows) == [(2, "longer than 16 MiB"), (3, "i")]
    exact = "u,i,1700000000,view,"
    rows = read(log, HEADER + exact + "t" * (999 - len(exact)) + "\n" + exact + "t\n")
    assert told(rows) == [(2, "i"), (3, "i")]


def test_damaged_gzip_gives_what_stood_before_and_then_says_where(log: Path) -> None:
    content = gzip.compress((HEADER + "".join(f"u{n},i{n},1700000000,view,{n * n}\n" for n in range(5_000))).encode())
    log.write_bytes(content[: len(content) // 2])
    rows = read_rows(log, detect(log, ImportOptions()), latest_ms=NOW)
    seen: list[Row | BadRow] = []
    with pytest.raises(UserError, match="damaged after line"):
        seen.extend(rows)
    assert 0 < len(seen) < 5_000
    assert all(isinstance(row, Row) for row in seen)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_damage_among_the_first_rows_gives_what_stood_before(log: Path, kind: str) -> None:
    line = '{{"user": "u{n}", "item": "i", "ts": 1700000000, "type": "view"}}\n'
    csv = "user,item,ts,type\n" + "".join(f"u{n},i,1700000000,view\n" for n in range(5))
    text = csv if kind == "csv" else "".join(line.format(n=n) for n in range(5))
    log.write_bytes(gzip.compress(text.encode())[:-8])
    rows = read_rows(log, detect(log, ImportOptions()), latest_ms=NOW)
    seen: list[Row | BadRow] = []
    with pytest.raises(UserError, match=r"damaged after line [56]"):
        seen.extend(rows)
    assert [row.user_id for row in seen if isinstance(row, Row)] == [f"u{n}" for n in range(5)]
    log.write_bytes(gzip.compress(text.encode())[:12])
    with pytest.raises(UserError, match="damaged after line 0"):
        detect(log, ImportOptions())


@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        (b"", {}, "is empty"),
        (b"\n  \n", {}, "is empty"),
        (b"1,2,3\n", {}, "first line holds data.*--header"),
        (b"1,2,3\n", {"columns": {"user_id": "1"}}, "--header"),
        (b"7z\xbc\xaf\x27\x1c....", {}, "a 7z archive"),
        (b"\x00\x01\x02\n", {}, "of a known format: CSV"),
        (b"caf\xe9,user\n", {}, "--encoding"),
        (b"user,item,item,ts,type\n", {}, "two columns have the name item"),
        (b"a,b\n1,2\n", {}, "no column is known to be the user_id"),
        (b"user,item,ts,type\n", {"encoding": "utf-32"}, "say utf-32-le"),
        (b"user,item,ts,type\n", {"encoding": "klingon"}, "no such encoding"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused_at_the_start(
    log: Path, content: bytes, options: dict[str, object], reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        read(log, content, **options)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        detect(tmp_path / "nowhere.csv", ImportOptions())


values = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=20).filter(
    lambda text: text == "" or not absent(text)
)
ids = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=20).filter(
    lambda text: not absent(text) and id_text(text) == text
)


@anywhere
@given(rows=st.lists(st.tuples(ids, ids, values), min_size=1, max_size=20))
def test_whatever_a_csv_writer_writes_is_read(log: Path, rows: list[tuple[str, str, str]]) -> None:
    """Ends of lines within a value are line feeds then, also those of Windows and those before a byte order mark."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["user", "item", "title", "ts", "type"])
    writer.writerows([user, item, title, 1_700_000_000, "view"] for user, item, title in rows)
    found = read(log, text.getvalue())
    assert [(row.user_id, row.item_id, row.title or "") for row in found if isinstance(row, Row)] == [
        (user, item, re.sub("\r*\n\ufeff?", "\n", title)) for user, item, title in rows
    ]


@anywhere
@given(
    junk=st.binary(max_size=300),
    where=st.integers(0, 3),
    head=st.sampled_from([HEADER.encode(), b'{"user": 1, "item": 2, "ts": 3, "type": "view"}\n']),
)
def test_junk_never_stops_the_reading(log: Path, junk: bytes, where: int, head: bytes) -> None:
    """Any bytes between good lines: the reading goes on, and the good lines before them are there."""
    good = [b"u,i%d,1700000000,view,t\n" % n for n in range(3)]
    rows = read(log, head + b"".join(good[:where]) + junk + b"\n" + b"".join(good[where:]))
    if head == HEADER.encode():
        assert [row.item_id for row in rows[:where] if isinstance(row, Row)] == [f"i{n}" for n in range(where)]
    assert [row.line for row in rows] == sorted(row.line for row in rows)


def test_a_cut_emoji_costs_its_own_line_alone(log: Path) -> None:
    line = '{"user_id":"u1","item_id":"i1","ts":1700000000,"event_type":"view","title":"%s"}\n'
    rows = read(log, line % "caf\\ud83d" + line % "ok")
    assert told(rows) == [(1, "not JSON: half of a surrogate pair, such as a cut emoji: \\ud83d (byte 79)"), (2, "i1")]


def test_values_about_as_deep_as_can_be_decoded_cost_no_other_line(log: Path) -> None:
    line = '{"session":7,"events":[{"aid":%s,"ts":1659304800025,"type":"clicks"}]}\n'
    deep = [line % ("[" * depth + "]" * depth) for depth in range(700, 1000)]
    rows = read(log, line % 1 + "".join(deep) + line % 2)
    assert [row.item_id for row in rows if isinstance(row, Row)] == ["1", "2"]
    assert sum(isinstance(row, BadRow) for row in rows) == len(deep)
