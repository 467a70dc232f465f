"""A line costs itself alone, whatever it does with quotes."""

from pathlib import Path

import pytest

from app.importing.items import ItemRow
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, Row, detect, detect_items, read_items, read_rows

NOW = 1_800_000_000_000
HEADER = "user,ts,item,title\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.csv"


def read(path: Path, text: str, **options: object) -> list[Row | BadRow]:
    path.write_text(text)
    found = detect(path, ImportOptions(event_type="view", **options))
    return list(read_rows(path, found, latest_ms=NOW))


def rows_of(count: int, start: int = 0) -> str:
    return "".join(f"u{n},{1_700_000_000 + n},i{n},plain\n" for n in range(start, start + count))


def bad_lines(rows: list[Row | BadRow]) -> list[int]:
    return [row.line for row in rows if isinstance(row, BadRow)]


def test_open_quote_that_a_later_quote_would_close_costs_its_own_line(log: Path) -> None:
    text = HEADER + 'u,1700000000,x,"7 inch\n' + rows_of(28) + 'v,1700000000,y,5"\n' + rows_of(3)
    rows = read(log, text)
    assert bad_lines(rows) == [2]
    assert [row.title for row in rows if isinstance(row, Row)] == [*["plain"] * 28, '5"', *["plain"] * 3]


def test_two_open_quotes_cost_two_lines(log: Path) -> None:
    open_line = 'u,1700000000,x,"Untitled\n'
    rows = read(log, HEADER + rows_of(250) + open_line + rows_of(500) + open_line + rows_of(250))
    assert bad_lines(rows) == [252, 753]
    assert len(rows) == 1_002


def test_open_quote_before_the_last_column_costs_its_own_line(log: Path) -> None:
    rows = read(log, HEADER + 'u,1700000000,"x,t\n' + rows_of(5) + 'u,1700000000,"z",t\n')
    assert bad_lines(rows) == [2]
    assert len(rows) == 7


def test_quote_within_or_around_a_part_of_a_value_is_text(log: Path) -> None:
    lines = ['"Weird Al" Yankovic', '7" single', 'the "Heroes"', '"Heroes"', '""', '"say ""hi"""', '"a \\"b\\", c"']
    rows = read(log, HEADER + "".join(f"u,1700000000,i,{title}\n" for title in lines))
    assert [row.title for row in rows if isinstance(row, Row)] == [
        '"Weird Al" Yankovic',
        '7" single',
        'the "Heroes"',
        "Heroes",
        None,
        'say "hi"',
        'a "b", c',
    ]


def test_backslash_before_a_quote_escapes_it_in_a_quoted_value(log: Path) -> None:
    lines = ['"a \\"b\\" c"', '"x\\"y"', '"Heroes\\"', '7\\" single', '"c\\\\"']
    rows = read(log, HEADER + "".join(f"u,1700000000,i,{title}\n" for title in lines))
    titles = ['a "b" c', 'x"y', "Heroes\\", '7\\" single', "c\\\\"]
    assert [row.title for row in rows if isinstance(row, Row)] == titles


def test_no_quote_is_special_where_quotes_are_said_to_be_text(log: Path) -> None:
    rows = read(log, HEADER + 'u,1700000000,i,"7 inch\nu,1700000000,i,"Heroes"\n', quote="")
    assert [row.title for row in rows if isinstance(row, Row)] == ['"7 inch', '"Heroes"']


def test_value_over_lines_that_are_no_rows_is_one_value(log: Path) -> None:
    rows = read(log, HEADER + 'u,1700000000,i,"one, two\n\n<p>a,b,c</p>\nlast"\n' + rows_of(2))
    assert [row.line for row in rows] == [2, 6, 7]
    assert isinstance(rows[0], Row)
    assert rows[0].title == "one, two\n\n<p>a,b,c</p>\nlast"


def test_open_quote_in_a_catalogue_costs_its_own_line(log: Path) -> None:
    log.write_text('item_id,category,title\np1,a,"7 inch\n' + "".join(f"p{n},a,Item {n}\n" for n in range(2, 30)))
    rows = list(read_items(log, detect_items(log, ImportOptions())))
    assert [row.line for row in rows if isinstance(row, BadRow)] == [2]
    assert [row.item_id for row in rows if isinstance(row, ItemRow)] == [f"p{n}" for n in range(2, 30)]


def test_file_with_apostrophes_around_its_names_has_them_around_its_values(log: Path) -> None:
    rows = read(log, "'user','ts','item','title'\n'u','1700000000','i','a, b'\n'v',1700000001,'j','it''s'\n")
    assert [(row.user_id, row.item_id, row.title) for row in rows if isinstance(row, Row)] == [
        ("u", "i", "a, b"),
        ("v", "j", "it's"),
    ]
