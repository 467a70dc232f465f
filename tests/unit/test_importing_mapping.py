import pytest

from app.core.event_types import EventTypes
from app.errors import UserError
from app.importing.filters import Condition
from app.importing.mapping import Columns, ImportOptions, columns_read, guess
from app.importing.rows import Row, row_maker
from app.importing.values import Refused

RETAIL = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
NOW = 1_800_000_000_000


def make(columns: Columns, **values: object) -> Row | None:
    return row_maker(columns, latest_ms=NOW)(values, 7, 99)


def plain(**fields: str) -> Columns:
    named = {"user_id": "user", "item_id": "item", "time": "ts", "event_type": "type"}
    return guess([*named.values(), *fields.values()], ImportOptions(columns=named | fields))


def test_usual_names_are_found() -> None:
    assert guess(RETAIL, ImportOptions(event_type="purchase")).fields == {
        "user_id": "CustomerID",
        "session_id": "InvoiceNo",
        "item_id": "StockCode",
        "time": "InvoiceDate",
        "price": "UnitPrice",
        "quantity": "Quantity",
        "title": "Description",
    }


def test_given_columns_win_over_guesses_and_an_empty_one_unmaps() -> None:
    columns = guess(
        RETAIL, ImportOptions(event_type="view", columns={"item_id": "Description", "title": "", "session_id": ""})
    )
    assert columns.fields == {
        "user_id": "CustomerID",
        "item_id": "Description",
        "time": "InvoiceDate",
        "price": "UnitPrice",
        "quantity": "Quantity",
    }


def test_an_event_type_for_all_rows_wins_over_a_column_of_types() -> None:
    columns = guess(["user", "item", "ts", "type"], ImportOptions(event_type="click"))
    row = make(columns, user="u", item="i", ts=1_700_000_000, type="nonsense")
    assert row is not None
    assert row.event_type == "click"


def test_a_session_without_a_user_is_its_own_user() -> None:
    columns = guess(["session", "aid", "ts", "type"], ImportOptions())
    row = make(columns, session=12, aid=5, ts=1_659_304_800_025, type="orders")
    assert row == Row(
        user_id="12", session_id="12", item_id="5", event_type="purchase", ts_ms=1_659_304_800_025, line=7, pos=99
    )


def test_several_errors_are_in_one_message() -> None:
    options = ImportOptions(columns={"usr": "a", "title": "nowhere"}, types={"wish": "liked"})
    with pytest.raises(UserError) as error:
        guess(["item", "colour"], options)
    for part in ("usr=a", "title=nowhere", "wish=liked", "user_id", "time", "event type", "item, colour"):
        assert part in str(error.value)


def test_types_are_mapped_without_regard_to_case_and_ignored_ones_give_no_row() -> None:
    columns = guess(
        ["user", "item", "ts", "type"],
        ImportOptions(types={"Wish List": "click", "refund": "ignore", "view": "click"}),
    )
    values: dict[str, object] = {"user": "u", "item": "i", "ts": 1_700_000_000}
    kinds = [make(columns, type=name, **values) for name in ("wish list", "PURCHASE", "view", "Refund")]
    assert [row and row.event_type for row in kinds] == ["click", "purchase", "click", None]


def test_without_a_session_column_a_day_is_a_session() -> None:
    row = make(plain(), user="u", item="i", ts="2021-07-15T23:59:59Z", type="view")
    assert row is not None
    assert row.session_id == "u:2021-07-15"


def test_a_watch_keeps_its_figures() -> None:
    columns = plain(watch_time_sec="secs", percent_watched="pct", ended="done")
    row = make(columns, user="u", item="i", ts=1_700_000_000, type="watch", secs="12.5", pct="80", done="true")
    assert row is not None
    assert (row.watch_time_sec, row.percent_watched, row.ended) == (12.5, 80.0, True)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"user": ""}, "user: the value is missing"),
        ({"user": None}, "user: the value is missing"),
        ({"user": True}, "user: True is not a valid id"),
        ({"user": 1.5}, "user: 1.5 is not a valid id"),
        ({"item": "x" * 129}, "item: Expected `str` of length <= 128"),
        ({"item": "a\x00b"}, "item: Expected printable characters only"),
        ({"item": "a\nb"}, "item: Expected printable characters only"),
        ({"ts": ""}, "ts: the time is missing"),
        ({"ts": "soon"}, "ts: 'soon' is neither a number nor ISO 8601"),
        ({"type": ""}, "type: the event type is missing"),
        ({"type": "liked"}, "say --map-type liked=click or --map-type liked=ignore"),
        *(
            ({"type": name}, f"event type; say --map-type {name}=ignore")
            for name in ("cancel", "refund", "Return", "order_cancelled")
        ),
        ({"type": "watch", "secs": ""}, "a watch needs its watch_time_sec"),
        ({"type": "watch", "secs": "nan"}, "a watch needs its watch_time_sec"),
        ({"type": "watch", "secs": "inf"}, "secs: "),
        ({"user": "\\N"}, "user: the value is missing"),
        ({"item": " NULL "}, "item: the value is missing"),
        ({"type": "watch", "secs": "-1"}, "secs: Expected `float` >= 0.0"),
        ({"pct": "101"}, "pct: Expected `float` <= 100.0"),
        ({"id": "short"}, "id: Expected `str` of length >= 8"),
    ],
)
def test_a_bad_value_is_refused_with_its_column_and_the_reason(changed: dict[str, object], reason: str) -> None:
    columns = plain(watch_time_sec="secs", percent_watched="pct", event_id="id")
    good: dict[str, object] = {"user": "u", "item": "i", "ts": 1_700_000_000, "type": "view"}
    assert isinstance(make(columns, **good), Row)
    with pytest.raises(Refused) as error:
        make(columns, **good | changed)
    assert reason in str(error.value)


def test_digest_of_options_tells_what_was_given() -> None:
    options = [
        ImportOptions(),
        ImportOptions(event_type="purchase"),
        ImportOptions(columns={"user_id": "a", "time": "b"}),
        ImportOptions(columns={"user_id": "b", "time": "a"}),
        ImportOptions(types={"bought": "purchase"}),
        ImportOptions(where=(Condition("a", "=", "1"),)),
    ]
    digests = [one.digest for one in options]
    assert len(set(digests)) == len(options)
    assert ImportOptions(columns={"time": "b", "user_id": "a"}).digest == digests[2]
    assert ImportOptions(known=EventTypes()).digest == digests[0]


@pytest.mark.parametrize(
    ("column", "read"),
    [
        ("day+clock", ["day", "clock"]),
        ("at|day+clock", ["at", "day", "clock"]),
        ("user.id", ["user", "user.id"]),
        ("user.id.x", ["user", "user.id"]),
        ("a+b", ["a+b"]),
        ("other", []),
    ],
)
def test_columns_that_a_field_needs_are_read(column: str, read: list[str]) -> None:
    present = ["at", "day", "clock", "user", "user.id", "a+b", "id"]
    assert columns_read([column], present) == read
