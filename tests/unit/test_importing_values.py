"""What single values mean: ids, numbers, missing words and conditions, in the forms that programs write."""

from pathlib import Path
from typing import Final

import pytest

from app.importing.filters import condition
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, Row, detect, read_rows
from app.importing.values import number_of

NOW_MS: Final = 1_800_000_000_000


def rows(path: Path, content: str, **options: object) -> list[Row | BadRow]:
    path.write_text(content)
    return list(read_rows(path, detect(path, ImportOptions(**options)), latest_ms=NOW_MS))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *(("17850.0", "17850"), ("17850.00", "17850"), ("17850.000000", "17850"), ("17850.", "17850")),
        *(("17850.5", "17850.5"), ("1.0.0", "1.0.0"), ("v1.0", "v1.0"), ("1e5", "1e5"), (" 7.0 ", "7")),
        *(('="00123"', "00123"), ("=1", "=1")),
    ],
)
def test_whole_number_is_the_same_id_with_and_without_its_decimals(tmp_path: Path, written: str, meant: str) -> None:
    (row,) = rows(tmp_path / "log", f"user,item,ts,type\n{written},i,1700000000,view\n")
    assert isinstance(row, Row)
    assert row.user_id == meant


def test_user_with_the_longest_id_has_a_session_for_each_day(tmp_path: Path) -> None:
    users = ["x" * 128, "y" * 127 + "1", "y" * 127 + "2", "z" * 117]
    content = "user,item,ts,type\n" + "".join(f"{user},i,1700000000,view\n" for user in users)
    found = [row for row in rows(tmp_path / "log", content) if isinstance(row, Row)]
    assert [row.user_id for row in found] == users
    assert len({row.session_id for row in found}) == len(users)
    assert found[-1].session_id == "z" * 117 + ":2023-11-14"
    watched = content.replace("type", "watch_time_sec").replace("view", "5")
    again = [row for row in rows(tmp_path / "log", watched, event_type="watch") if isinstance(row, Row)]
    assert [row.session_id for row in again] == [row.session_id for row in found]


@pytest.mark.parametrize(("written", "meant"), [("17850,0", "17850"), ("1,000", "1,000"), ("1,2,0", "1,2,0")])
def test_whole_number_with_a_comma_in_it(tmp_path: Path, written: str, meant: str) -> None:
    (row,) = rows(tmp_path / "log", f"user;item;ts;type\n{written};i;1700000000;view\n")
    assert isinstance(row, Row)
    assert row.user_id == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *(("5,5", 5.5), (" 5 ", 5.0), ("1e2", 100.0), ("0,25", 0.25), ("0,125", 0.125)),
        *(("1,234.5", 1234.5), ("1.234,5", 1234.5), ("1 234", 1234), ("1'234,5", 1234.5)),
    ],
)
def test_number_may_have_spaces_around_it_and_a_comma_in_it(tmp_path: Path, written: str, meant: float) -> None:
    (row,) = rows(tmp_path / "log", f"user;item;ts;watch_time_sec\nu;i;1700000000;{written}\n", event_type="watch")
    assert isinstance(row, Row)
    assert row.watch_time_sec == meant


def test_marks_between_thousands_are_no_decimals() -> None:
    assert number_of("1,234,567") == number_of("1.234.567") == number_of("1 234 567") == 1_234_567
    assert number_of("1,234") is number_of("1,234,56") is number_of("1,234,567,8") is number_of("") is None


@pytest.mark.parametrize("number", ["1,200", "many", "1,20,5"])
def test_condition_tells_of_a_number_that_may_be_two_or_none(tmp_path: Path, number: str) -> None:
    content = f"user;item;ts;quantity\nu;i;1700000000;{number}\nu;j;1700000000;1,200.0\nu;k;1700000000;\n"
    bad, good = rows(tmp_path / "log", content, event_type="view", where=(condition("quantity>0"),))
    assert isinstance(good, Row)
    assert good.item_id == "j"
    assert isinstance(bad, BadRow)
    assert bad.reason == f"quantity: {number!r} is not a number that quantity>0 may be compared with"


@pytest.mark.parametrize("wanted", ["rating>4", "rating>=4,5", "rating==4.5", "rating=4,5", "rating<>4"])
def test_condition_holds_for_a_number_with_a_comma(tmp_path: Path, wanted: str) -> None:
    content = "user;item;ts;rating\nu;i;1700000000;4,5\nu;j;1700000000;4\n"
    found = rows(tmp_path / "log", content, event_type="view", where=(condition(wanted),))
    assert [row.item_id for row in found if isinstance(row, Row)] == ["i"]


@pytest.mark.parametrize(
    "word", ["-", "NIL", "<nil>", "(none)", "Undefined", "#REF!", "#DIV/0!", " -NaN ", "#NUM!", "[null]"]
)
def test_session_that_a_word_says_is_missing_is_the_day_of_the_user(tmp_path: Path, word: str) -> None:
    (row,) = rows(tmp_path / "log", f"user,item,ts,type,session\nu,i,1700000000,view,{word}\n")
    assert isinstance(row, Row)
    assert row.session_id == "u:2023-11-14"


@pytest.mark.parametrize("word", ["NULL", "NA", "", " nan "])
def test_title_that_a_word_says_is_missing_is_none(tmp_path: Path, word: str) -> None:
    (row,) = rows(tmp_path / "log", f"user,item,created_at,type,title\nu,i,1700000000,view,{word}\n")
    assert isinstance(row, Row)
    assert row.title is None
