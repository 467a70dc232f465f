"""Known layouts as their real files differ from the samples: headers, encodings, columns that are left out, order."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pyarrow
import pytest
from pyarrow import parquet

from app.errors import UserError
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, ItemRow, Row, detect, detect_items, read_items, read_rows

NOW_MS: Final = 1_800_000_000_000
TIME: Final = "2024-03-01T10:00:00.000Z"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def events(path: Path, content: str | bytes | list[dict[str, Any]] | None = None) -> tuple[str | None, list[str]]:
    """The preset, and `user item type`, or the reason, of each row."""
    write(path, content)
    source = detect(path, ImportOptions())
    rows = read_rows(path, source, latest_ms=NOW_MS)
    told = [f"{r.user_id} {r.item_id} {r.event_type}" if isinstance(r, Row) else r.reason for r in rows]
    return source.preset and source.preset.name, told


def items(path: Path, content: str | bytes) -> tuple[str | None, list[ItemRow]]:
    write(path, content)
    source = detect_items(path, ImportOptions())
    rows = list(read_items(path, source))
    assert [row for row in rows if isinstance(row, BadRow)] == []
    return source.preset and source.preset.name, [row for row in rows if isinstance(row, ItemRow)]


def write(path: Path, content: str | bytes | list[dict[str, Any]] | None) -> None:
    if isinstance(content, list):
        content = "".join(json.dumps(line) + "\n" for line in content)
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_movies_of_1m_are_latin_1_and_those_of_10m_utf_8(log: Path, encoding: str) -> None:
    preset, rows = items(log, "73::Misérables, Les (1995)::Drama|War\n1::Toy Story (1995)::Comedy\n".encode(encoding))
    assert (preset, rows[0].title) == ("movielens-movies-1m", "Misérables, Les (1995)")


def test_online_retail_has_lines_of_two_encodings(log: Path) -> None:
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    line = "536365,{},{} BAG,6,12/13/2010 8:26,2.55,17850,United Kingdom\n"
    content = header.encode() + line.format("a", "£5").encode("latin-1") + line.format("b", "£6 – “é”").encode()
    log.write_bytes(content + line.format("c", "“x”").encode("cp1252"))
    source = detect(log, ImportOptions())
    titles = [row.title if isinstance(row, Row) else row.reason for row in read_rows(log, source, latest_ms=NOW_MS)]
    assert titles == ["£5 BAG", "£6 – “é” BAG", "“x” BAG"]


@pytest.mark.parametrize(
    ("content", "preset", "rows"),
    [
        (
            "session_id;user_id;item_id;timeframe;eventdate\n1;NA;81766;526309;2016-05-09\n",
            "diginetica-views",
            ["1 81766 view"],
        ),
        (
            "user_id,item_id,category_id,behavior_type,timestamp\n1,2268318,2520377,buy,1511544070\n",
            "taobao",
            ["1 2268318 purchase"],
        ),
        ("session,aid,ts,type\n7,59625,1661724000000,orders\n", "otto-table", ["7 59625 purchase"]),
        (
            "user_id,parent_asin,rating,timestamp,history\nAG,B1,5.0,1588687728923,B2 B3\n",
            "amazon-2023",
            ["AG B1 purchase"],
        ),
        (
            '{"user_id": "8842", "book_id": "130580", "rating": 5, "date_added": "Mon Aug 01 13:41:57 -0700 2011"}\n',
            "goodreads",
            ["8842 130580 view"],
        ),
        (
            "feedback_type,user_id,item_id,time_stamp\r\nread,u,i,0001-01-01 00:00:00 +0000 UTC\r\n",
            "gorse",
            ["time_stamp: the time is missing"],
        ),
    ],
)
def test_other_header_of_the_same_data_is_recognised(log: Path, content: str, preset: str, rows: list[str]) -> None:
    assert events(log, content) == (preset, rows)


def test_shopify_orders_without_some_columns_and_cancelled_ones(log: Path) -> None:
    header = "Name,Email,Financial Status,Created at,Lineitem quantity,Lineitem name,Lineitem sku"
    first, second = (
        "#1,ann@example.com,paid,2024-01-15 10:22:33 -0500,1,Mug,MUG-1",
        "#1,ann@example.com,,,2,Fern,FERN-1",
    )
    found = ["ann@example.com MUG-1 purchase", "ann@example.com FERN-1 purchase"]
    assert events(log, f"{header}\n{first}\n{second}\n") == ("shopify-orders", found)
    cancelled = f"{header},Cancelled at\n{first},2024-01-16 10:22:33 -0500\n{second},\n{first.replace('#1', '#2')},\n"
    assert events(log, cancelled) == ("shopify-orders", found[:1])


def test_shopify_products_of_both_templates(log: Path) -> None:
    old = (
        "Handle,Title,Vendor,Type,Tags,Published,Variant SKU,Variant Price,Image Src,Status\n"
        "mug,Mug,V,Kitchen,,true,MUG-1,9.00,https://example.com/1.jpg,active\n"
        "mug,,,,,,,,https://example.com/2.jpg,\n"  # a second picture, and no variant
        "cup,Cup,V,,,true,,9.00,,draft\n"
    )
    preset, rows = items(log, old)
    assert (preset, [(row.item_id, row.hidden) for row in rows]) == (
        "shopify-products",
        [("MUG-1", False), ("cup", True)],
    )
    new = (
        "Title,URL handle,Vendor,Product category,Type,Tags,Published on online store,Status,SKU,Price,"
        "Product image URL\n"
        'T-Shirt,t-shirt,Acme,Apparel > Shirts,Shirts,"summer, sale",TRUE,Active,TS-S,20,https://example.com/t.png\n'
        ",t-shirt,,,,,,,TS-M,20,\n"
        "Cap,cap,Acme,,Hats,,FALSE,Active,CAP-1,9,\n"
    )
    preset, rows = items(log, new)
    assert preset == "shopify-products"
    assert [(row.item_id, row.title, row.tags, row.hidden) for row in rows] == [
        ("TS-S", "T-Shirt", ["summer", "sale"], False),
        ("TS-M", "T-Shirt", ["summer", "sale"], False),
        ("CAP-1", "Cap", [], True),
    ]
    assert rows[0].attributes == {"picture_url": "https://example.com/t.png"}


def test_woocommerce_drafts_are_hidden_and_variations_are_none(log: Path) -> None:
    content = (
        "\ufeffID,Type,SKU,Name,Published,Visibility in catalog,Categories,Tags\n"
        '10,variable,tee,Tee,1,visible,"Clothing > Tees, Shoes\\, Bags","red, new"\n'
        "24,variation,tee-red,Tee - Red,1,visible,,\n"
        '25,"variation, virtual",tee-x,Tee - X,1,visible,,\n'
        "11,simple,d,Draft,-1,visible,Music,\n"
        "12,simple,p,Private,0,visible,Music,\n"
        "13,simple,h,Hidden,1,hidden,Music,\n"
    )
    preset, rows = items(log, content)
    assert preset == "woocommerce-products"
    assert [(row.item_id, row.hidden) for row in rows] == [("10", False), ("11", True), ("12", True), ("13", True)]
    assert rows[0].categories == ["Clothing > Tees", "Shoes, Bags"]


def test_guests_of_woocommerce_are_not_one_user(log: Path) -> None:
    order = {
        "status": "completed",
        "date_created_gmt": "2017-03-22T19:28:02",
        "customer_id": 0,
        "billing": {"email": ""},
    }
    lines = [{**order, "number": str(n), "line_items": [{"product_id": 93, "name": "Single"}]} for n in (727, 728)]
    assert events(log, lines) == ("woocommerce-orders", ["727 93 purchase", "728 93 purchase"])


def test_labels_of_gorse_may_be_an_object(log: Path) -> None:
    content = (
        "item_id,is_hidden,categories,time_stamp,labels,description\r\n"
        '1,false,x,2020-01-01 01:01:01.000000001 +0000 UTC,a|b,"o,n,e"\r\n'
        '2,false,x|y,0001-01-01 00:00:00 +0000 UTC,"{""genre"":[""comedy"",""sci-fi""]}","t\r\nw\r\no"\r\n'
    )
    preset, rows = items(log, content)
    assert (preset, [row.tags for row in rows]) == ("gorse-items", [["a", "b"], ["comedy", "sci-fi"]])
    assert [(row.title, row.published_at is None) for row in rows] == [("o,n,e", False), ("t w o", True)]


SEGMENT: Final = {"messageId": "m", "timestamp": TIME, "context": {}}
PAGE: Final = {**SEGMENT, "type": "page", "anonymousId": "a", "name": "Home", "properties": {"path": "/"}}
VIEWED: Final = {**SEGMENT, "type": "track", "event": "Product Viewed", "properties": {"product_id": "p"}}
SNOWPLOW: Final = {"collector_tstamp": TIME, "domain_userid": "d", "event": "page_view"}
ACTION: Final = "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1"
PRODUCTS: Final = "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1"
BOUGHT: Final = {**SNOWPLOW, "event_id": "e-0000001", "event": "unstruct"}
ITEM: Final = {"event": "item", "id": "1", "timestamp": "1599391467000", "item": "i", "fields": []}
CLICK: Final = {**ITEM, "event": "interaction", "user": "u", "session": "s", "type": "click"}


@pytest.mark.parametrize(
    ("before", "last", "found"),
    [
        (PAGE, {**VIEWED, "anonymousId": "a"}, ("segment", ["a p view"])),
        (PAGE, {**VIEWED, "anonymousId": "a", "rudderId": "r"}, ("rudderstack", ["a p view"])),
        (ITEM, CLICK, ("metarank", ["u i click"])),
        (
            SNOWPLOW,
            {**BOUGHT, ACTION: {"type": "transaction"}, PRODUCTS: [{"id": "p"}, {"id": "q"}]},
            ("snowplow", ["d p purchase", "d q purchase"]),
        ),
        (
            SNOWPLOW,
            {**BOUGHT, f"{ACTION}_0_2": {"type": "product_view"}, f"{PRODUCTS}_0_0": [{"id": "p"}]},
            ("snowplow", ["d p view"]),
        ),
    ],
)
def test_first_event_with_an_item_may_be_far_behind(
    log: Path, before: dict[str, Any], last: dict[str, Any], found: tuple[str, list[str]]
) -> None:
    assert events(log, [before] * 500 + [last]) == found


def test_events_of_a_server_and_those_of_segments_first_specification(log: Path) -> None:
    first = {**SEGMENT, "type": "track", "event": "Viewed Product", "userId": "u", "properties": {"id": "old"}}
    assert events(log, [{**VIEWED, "userId": "u"}, first]) == ("segment", ["u p view", "u old view"])


def test_products_of_one_event_have_ids_of_their_own(log: Path) -> None:
    write(log, [{**BOUGHT, ACTION: {"type": "transaction"}, PRODUCTS: [{"id": "p"}, {"id": "q"}]}])
    assert "event_id" not in detect(log, ImportOptions()).columns.fields
    write(log, [{"user": "u", "ts": TIME, "type": "view", "events": [{"event_id": "e-0000001", "item": "i"}]}])
    assert detect(log, ImportOptions()).columns.fields["event_id"] == "event_id"
    write(log, [{"event_id": "e-0000001", "user": "u", "ts": TIME, "type": "view", "events": [{"item": "i"}]}])
    assert detect(log, ImportOptions(columns={"event_id": "event_id"})).columns.fields["event_id"] == "event_id"


def in_csv(path: Path, lines: list[dict[str, Any]]) -> None:
    quoted = [json.dumps(line["properties"]).replace('"', '""') for line in lines]
    rows = [f'{line["event"]},u,{TIME},"{text}"\n' for line, text in zip(lines, quoted, strict=True)]
    path.write_text("event,distinct_id,timestamp,properties\n" + "".join(rows))


def in_parquet(path: Path, lines: list[dict[str, Any]]) -> None:
    rows = [
        {**line, "distinct_id": "u", "timestamp": TIME, "properties": json.dumps(line["properties"])} for line in lines
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


@pytest.mark.parametrize("written", [in_csv, in_parquet])
def test_properties_of_posthog_may_be_json_text(
    log: Path, written: Callable[[Path, list[dict[str, Any]]], None]
) -> None:
    lines = [
        {"event": "$pageview", "properties": {"$session_id": "s"}},
        {"event": "Product Viewed", "properties": {"product_id": "p"}},
        {"event": "Order Completed", "properties": {"products": [{"product_id": "p"}, {"product_id": "q"}]}},
    ]
    written(log, lines)
    assert events(log) == ("posthog", ["u p view", "u p purchase", "u q purchase"])


def test_orders_of_instacart_may_be_in_the_same_archive(tmp_path: Path) -> None:
    path = tmp_path / "instacart.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "orders.csv",
            "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order\n9,7,prior,1,2,08,\n",
        )
        archive.writestr("order_products__prior.csv", "order_id,product_id,add_to_cart_order,reordered\n9,196,1,0\n")
    assert events(path / "order_products__prior.csv") == ("instacart", ["7 196 purchase"])


def test_bad_order_of_instacart_costs_its_rows_alone(tmp_path: Path) -> None:
    orders = "order_id,user_id,order_number,order_hour_of_day,days_since_prior_order\n"
    orders += '"9","7","1","08",""\nx,7,2,09,3\n11,7,3,09,NA\n999999999999,8,1,10,\n'
    (tmp_path / "orders.csv").write_text(orders)
    log = tmp_path / "order_products__prior.csv"
    log.write_text("order_id,product_id,add_to_cart_order,reordered\n5,195,1,0\n9,196,1,0\n11,197,1,0\n")
    rows = list(read_rows(log, detect(log, ImportOptions()), latest_ms=NOW_MS))
    assert [row.reason if isinstance(row, BadRow) else f"{row.user_id} {row.item_id}" for row in rows] == [
        "order_id: '5' is not among the orders",
        "7 196",
        "7 197",
    ]
    (tmp_path / "orders.csv").write_text("")
    with pytest.raises(UserError, match="is not Instacart's file of orders"):
        detect(log, ImportOptions())
