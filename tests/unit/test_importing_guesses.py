"""What is guessed of a file that no preset knows: paths, lists, missing words, times, flags."""

import json
from pathlib import Path

import pytest

from app.errors import UserError
from app.importing.filters import condition
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, ItemRow, Row, detect, detect_items, read_items, read_rows
from app.importing.screen import describe
from app.importing.user_sample import UserSample

NOW = 1_800_000_000_000
FLAGS = [
    *(("t", True), ("yes", True), ("1.0", True), ("F", False), ("off", False)),
    *(("WAHR", True), ("FALSCH", False), ("VRAI", True), ("Ja", True), ("nein", False)),
    *(("b'1'", True), ("\x00", False)),
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def read(path: Path, text: str, **options: object) -> list[Row | BadRow]:
    path.write_text(text)
    return list(read_rows(path, detect(path, ImportOptions(**options)), latest_ms=NOW))


def good(rows: list[Row | BadRow]) -> list[Row]:
    assert [row for row in rows if isinstance(row, BadRow)] == []
    return [row for row in rows if isinstance(row, Row)]


def test_paths_choices_and_lists_within_objects(log: Path) -> None:
    lines = [
        {"at": 1_700_000_000, "who": {"id": None, "guest": "g1"}, "kind": "view", "basket": {"rows": [{"sku": "a"}]}},
        {"at": 1_700_000_001, "who": {"id": 7}, "kind": "view", "basket": {"rows": [{"sku": "b"}, {"sku": "c"}]}},
        {"at": 1_700_000_002, "who": {"id": 7}, "kind": "view", "basket": {}},
    ]
    rows = read(
        log,
        "\n".join(map(json.dumps, lines)),
        columns={
            "user_id": "who.id|who.guest",
            "item_id": "sku",
            "time": "at",
            "event_type": "kind",
            "events": "basket.rows",
        },
    )
    assert [(row.user_id, row.item_id) for row in rows if isinstance(row, Row)] == [("g1", "a"), ("7", "b"), ("7", "c")]
    assert [row.reason for row in rows if isinstance(row, BadRow)] == ["sku: the value is missing"]


def test_path_into_json_text_of_a_csv_column(log: Path) -> None:
    text = 'user,ts,props\nu,1700000000,"{""product"": {""id"": 5}}"\n'
    (row,) = good(read(log, text, event_type="view", columns={"item_id": "props.product.id"}))
    assert row.item_id == "5"


@pytest.mark.parametrize("word", ["", " ", "NA", "NULL", "null", "\\N", "nan", "NaN", "None", "undefined", " NA "])
def test_missing_word_is_a_missing_value(log: Path, word: str) -> None:
    rows = read(log, f"user,session,item,ts,type\n{word},s,i,1700000000,view\nu,{word},i,1700000000,view\n")
    assert [(row.user_id, row.session_id) for row in good(rows)] == [("s", "s"), ("u", "u:2023-11-14")]
    (bad,) = read(log, f"user,item,ts,type\n{word},i,1700000000,view\n")
    assert isinstance(bad, BadRow)
    assert bad.reason == "user: the value is missing"


def test_whole_numbers_with_decimals_are_ids(log: Path) -> None:
    rows = read(log, "user,item,ts,type\n17850.0,1.50,1700000000,view\n")
    assert [(row.user_id, row.item_id) for row in good(rows)] == [("17850", "1.50")]


@pytest.mark.parametrize(
    "time",
    [
        *("2014-05-14 04:41:15 UTC", "2014-05-14 04:41:15 +0000 UTC", "2014-05-14 06:41:15 +0200", "20140514044115"),
        *("14/05/2014 04:41:15", "05/14/2014 04:41:15 AM", "14.05.2014 04:41:15", "14-05-2014 04:41:15"),
        *("14 May 2014 04:41:15", "May 14, 2014 04:41:15", "Wed, 14 May 2014 04:41:15 GMT", "2014/05/14 04:41:15"),
        *("14/May/2014:04:41:15 +0000", "Wed May 14 04:41:15 2014", "Wed May 14 04:41:15 +0000 2014"),
        *("2014-05-14T04:41:15.123456789Z", "1400042475.5", "1400042475000000"),
    ],
)
def test_time_of_a_usual_form(log: Path, time: str) -> None:
    (row,) = good(read(log, f'user;item;ts;type\nu;i;"{time}";view\n'))
    assert row.ts_ms // 1000 == 1_400_042_475


def test_day_and_month_are_told_apart_by_the_file_or_asked_for(log: Path) -> None:
    times = ["01/02/2019 10:00"] * 3_000
    text = "user,item,type,ts\n" + "".join(
        f"u,i{n},view,{time}\n" for n, time in enumerate([*times, "13/02/2019 10:00"])
    )
    rows = good(read(log, text))
    assert rows[0].ts_ms == 1_549_015_200_000  # 1 February
    assert "times as %d/%m/%Y %H:%M" in describe(detect(log, ImportOptions()))
    with pytest.raises(UserError, match="--time-format '%d/%m/%Y %H:%M' or --time-format '%m/%d/%Y %H:%M'"):
        read(log, text.replace("13/02", "12/02"))


@pytest.mark.parametrize(("word", "flag"), FLAGS)
def test_flag_of_a_usual_form(log: Path, word: str, flag: bool) -> None:
    text = f"user,item,ts,watch_time_sec,ended\nu,i,1700000000,5,{word}\n"
    assert [row.ended for row in good(read(log, text, event_type="watch"))] == [flag]


def test_flag_in_the_place_of_a_date_hides_an_item_or_says_nothing(log: Path) -> None:
    log.write_text("id,title,published\n1,a,true\n2,b,false\n3,c,2020-01-01\n")
    rows = list(read_items(log, detect_items(log, ImportOptions())))
    assert [(row.hidden, row.published_at is None) for row in rows if isinstance(row, ItemRow)] == [
        (False, True),
        (True, True),
        (False, False),
    ]


@pytest.mark.parametrize(
    ("where", "items"),
    [
        ("rating>=4", ["a", "c"]),
        ("rating > 4", ["c"]),
        ("rating<4.5", ["a", "b"]),
        ("rating=4", ["a"]),
        ("kind!=x", ["b", "c", "d"]),
        ("kind=x|y", ["a", "b"]),
        ("kind=", ["c"]),
        ("rating!=", ["a", "b", "c"]),
        ("ts>=2023-11-14", ["a", "b", "c", "d"]),
        ("ts>2023-11-14T23:13:20+01:00", []),
    ],
)
def test_rows_are_taken_by_conditions(log: Path, where: str, items: list[str]) -> None:
    text = (
        "user,item,ts,rating,kind\nu,a,1700000000,4.0,x\nu,b,1700000000,3,y\nu,c,1700000000,5,\nu,d,1700000000,NA,z\n"
    )
    rows = good(read(log, text, event_type="view", where=(condition(where),)))
    assert [row.item_id for row in rows] == items


def test_rows_are_taken_by_their_times(log: Path) -> None:
    text = "user,item,date\nu,a,2026-01-30 23:59:59\nu,b,2026-01-31\nu,c,2026-01-31T00:30:00+01:00\nu,d,soon\n"
    rows = read(log, text, event_type="view", where=(condition("date>=2026-01-31"),))
    assert [row.item_id if isinstance(row, Row) else row.reason for row in rows] == [
        "b",
        "date: 'soon' is not a time that date>=2026-01-31 may be compared with",
    ]


@pytest.mark.parametrize("where", ["", "rating", "rating>=many", ">=4", "at<2026-13-01"])
def test_condition_that_cannot_be_understood_is_refused(where: str) -> None:
    with pytest.raises(UserError, match="--where"):
        condition(where)


def test_condition_on_a_column_that_the_file_lacks_is_refused(log: Path) -> None:
    with pytest.raises(
        UserError, match="--where ratng>=4: the file has no column ratng; it has user, item, ts, rating"
    ):
        read(log, "user,item,ts,rating\nu,i,1700000000,5\n", event_type="view", where=(condition("ratng>=4"),))


def test_short_event_id_says_how_to_do_without_it(log: Path) -> None:
    (bad,) = read(log, "event_id,user,item,ts,type\n1,u,i,1700000000,view\n")
    assert isinstance(bad, BadRow)
    assert bad.reason.endswith("say --map event_id= to derive ids from the rows")


def test_one_user_with_most_rows_is_told() -> None:
    users = UserSample()
    users.add(["guest"] * 60 + [f"u{number}" for number in range(39)])
    assert users.notice() == ""
    users.add(["u40"])
    assert "The user guest has 60 of the first 100 rows" in users.notice()
    users.add([f"u{number}" for number in range(100)])
    assert users.notice() == ""
