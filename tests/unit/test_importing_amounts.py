"""Value, currency and quantity of a file's rows are those of the events."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from app.importing.amounts import Amounts
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, Row, detect, read_rows
from app.importing.records import RowIds, to_record
from app.importing.screen import describe
from app.importing.writer import event_columns

NOW_MS: Final = 1_800_000_000_000
SAMPLES: Final = Path(__file__).parents[1] / "samples" / "presets"
HEADER: Final = "user_id,item_id,ts,event_type"
LINE: Final = "u,i,1700000000"


def rows(path: Path, content: str, **options: Any) -> list[Row | BadRow]:
    path.write_text(content)
    return list(read_rows(path, detect(path, ImportOptions(**options)), latest_ms=NOW_MS))


def amounts(path: Path, content: str, **options: Any) -> list[Amounts | str | None]:
    return [row.reason if isinstance(row, BadRow) else row.amounts for row in rows(path, content, **options)]


def payload(row: Row | BadRow) -> dict[str, Any]:
    assert isinstance(row, Row)
    found: dict[str, Any] = json.loads(to_record(row, "event-id-1", now_ms=NOW_MS).payload)
    return {name: found.get(name) for name in ("value", "currency", "quantity")}


def test_amounts_are_stored_with_the_event_and_are_not_its_id(tmp_path: Path) -> None:
    content = f"{HEADER},value,Currency,Quantity\n{LINE},purchase,59.90,eur,2\n{LINE},cart,,EUR,3\n{LINE},view,,,\n"
    found = rows(tmp_path / "log.csv", content)
    assert list(map(payload, found)) == [
        {"value": 59.9, "currency": "EUR", "quantity": 2},
        {"value": None, "currency": None, "quantity": 3},
        {"value": None, "currency": None, "quantity": None},
    ]
    assert "value ← value, currency ← Currency, quantity ← Quantity" in describe(
        detect(tmp_path / "log.csv", ImportOptions())
    )
    without = rows(tmp_path / "log.csv", content, columns={"value": "", "currency": "", "quantity": ""})
    assert [payload(row)["value"] for row in without] == [None] * 3
    ids, same = RowIds(), RowIds()
    assert [ids.event_id(row) for row in found if isinstance(row, Row)] == [
        same.event_id(row) for row in without if isinstance(row, Row)
    ]


@pytest.mark.parametrize(
    ("price", "quantity", "value"),
    [
        ("2.55", "6", 15.3),
        ("2.55", "", 2.55),
        ("0", "3", 0.0),
        ('"$1,234.50"', "2", 2469.0),
        ('"12,50 EUR"', "2", 25.0),
        ("free", "2", None),
        ("-1", "1", None),
        ("1e300", "2", None),
        ("2", "0.5", 2.0),
        ("2", "0", 2.0),
        ("NULL", "NA", None),
    ],
)
def test_value_is_the_price_of_one_times_the_quantity(
    tmp_path: Path, price: str, quantity: str, value: float | None
) -> None:
    content = f"{HEADER},Unit Price,qty\n{LINE},purchase,{price},{quantity}\n"
    (found,) = rows(tmp_path / "log.csv", content)
    assert payload(found)["value"] == value


def test_value_of_the_row_wins_over_its_price(tmp_path: Path) -> None:
    content = f"{HEADER},value,price,quantity\n{LINE},purchase,5,2,3\n{LINE},purchase,,2,3\n"
    found = amounts(tmp_path / "log.csv", content, columns={"price": "price"})
    assert found == [Amounts(5.0, None, 3), Amounts(6.0, None, 3)]


def test_purchase_of_fewer_than_none_is_a_return(tmp_path: Path) -> None:
    content = f"{HEADER},quantity\n{LINE},purchase,-12\n{LINE},view,-1\n"
    bad, view = amounts(tmp_path / "log.csv", content)
    assert bad == (
        "quantity: '-12' is a return and no purchase; --where 'quantity>0' leaves returns out, "
        "--map quantity= takes them as purchases"
    )
    assert view is None
    assert amounts(tmp_path / "log.csv", content, columns={"quantity": ""}) == [None, None]


def test_watches_and_impressions_have_none_and_objects_are_none(tmp_path: Path) -> None:
    content = f"{HEADER},value,watch_time_sec\n{LINE},watch,5,60\n{LINE},impression,5,\n"
    found = rows(tmp_path / "log.csv", content)
    assert [row.amounts for row in found if isinstance(row, Row)] == [None, None]
    assert [to_record(row, "event-id-1", now_ms=NOW_MS).event_type for row in found if isinstance(row, Row)] == [
        "watch",
        "impression",
    ]
    event = {"user_id": "u", "item_id": "i", "ts": 1_700_000_000, "event_type": "view", "value": {"unit": "EUR"}}
    (tmp_path / "log.jsonl").write_text(json.dumps(event))
    assert "value" not in detect(tmp_path / "log.jsonl", ImportOptions()).columns.fields


def test_rows_with_amounts_are_stored_by_the_same_statement(tmp_path: Path) -> None:
    (found,) = rows(tmp_path / "log.csv", f"{HEADER},value\n{LINE},purchase,5\n")
    assert isinstance(found, Row)
    columns = event_columns([to_record(found, "event-id-1", now_ms=NOW_MS)])
    assert '"value":5.0' in columns[6]


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("online-retail.csv", [{"value": 15.3, "currency": None, "quantity": 6}]),
        ("online-retail-2.csv", [{"value": 83.4, "currency": None, "quantity": 12}]),
        (
            "shopify-orders.csv",
            [
                {"value": 16.0, "currency": "USD", "quantity": 1},
                {"value": 18.0, "currency": "USD", "quantity": 2},
            ],
        ),
        ("yoochoose-buys.dat", [{"value": 12462.0, "currency": None, "quantity": 1}]),
    ],
)
def test_shops_files_have_them(preset: str, expected: list[dict[str, Any]]) -> None:
    path = SAMPLES / preset
    found = list(read_rows(path, detect(path, ImportOptions()), latest_ms=NOW_MS))
    assert [payload(row) for row in found[: len(expected)]] == expected


def test_products_of_an_order_have_prices_of_their_own(tmp_path: Path) -> None:
    products = [{"product_id": "a", "price": 3, "quantity": 2}, {"product_id": "b", "price": "4.5"}]
    message = {
        "messageId": "m",
        "anonymousId": "u",
        "event": "Order Completed",
        "timestamp": "2024-03-01T10:00:00Z",
        "properties": {"currency": "EUR", "price": 99, "products": products},
    }
    assert amounts(tmp_path / "log.jsonl", json.dumps(message)) == [Amounts(6.0, "EUR", 2), Amounts(4.5, "EUR", None)]
