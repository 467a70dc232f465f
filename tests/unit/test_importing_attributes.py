"""Columns of a catalogue that become attributes: which, of which types, with which values."""

from pathlib import Path
from typing import Any

import pytest

from app.core.attributes import Moment, Place
from app.errors import UserError
from app.importing.attributes import AttributeColumn, WantedAttribute, wanted_attribute
from app.importing.items import ItemRow
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, detect_items, read_items

DAY_MS = 1_714_521_600_000


def read(path: Path, content: str, *wanted: str) -> tuple[dict[str, str], list[dict[str, Any] | str]]:
    """Attribute → type, and the attributes of each item, or why it is rejected."""
    path.write_text(content)
    source = detect_items(path, ImportOptions(attributes=tuple(map(wanted_attribute, wanted))))
    rows = [row.attributes if isinstance(row, ItemRow) else row.reason for row in read_items(path, source)]
    return {one.name: one.type for one in source.columns.attributes}, rows


@pytest.mark.parametrize(
    ("values", "kind", "stored"),
    [
        (("12.50", "3"), "number", [12.5, 3.0]),
        (("12.50 EUR", "$3"), "number", [12.5, 3.0]),
        (("01234", "99999"), "text", ["01234", "99999"]),
        (("true", "No"), "flag", [True, False]),
        (("1", "0"), "number", [1.0, 0.0]),
        (("2024-05-01", "2024-05-01T00:00:00Z"), "time", [Moment(DAY_MS), Moment(DAY_MS)]),
        (("red|blue", "red"), "list", [["red", "blue"], ["red"]]),
        (('["red", "blue"]', "red"), "list", [["red", "blue"], ["red"]]),
        (("52.5; 13.4", "(48,11.5)"), "place", [Place(52.5, 13.4), Place(48.0, 11.5)]),
        (("Acme", " A  b\t"), "text", ["Acme", "A b"]),
        (("NULL", "3"), "number", [None, 3.0]),
    ],
)
def test_type_is_guessed_as_narrow_as_all_values_allow(
    tmp_path: Path, values: tuple[str, str], kind: str, stored: list[Any]
) -> None:
    content = "id\ttitle\tx\n" + "".join(f"i{place}\tA\t{value}\n" for place, value in enumerate(values))
    content = content.replace("\t\n", "\n")
    types, rows = read(tmp_path / "items.tsv", content, "x")
    assert types == {"x": kind}
    assert [row.get("x") for row in rows if isinstance(row, dict)] == stored


def test_json_values_and_paths_are_attributes(tmp_path: Path) -> None:
    content = (
        '{"id": "i1", "title": "A", "shop": {"at": {"latitude": 52.5, "lng": 13.4}, "open": true}, '
        '"colours": ["red"]}\n'
        '{"id": "i2", "title": "B"}\n'
    )
    types, rows = read(tmp_path / "items.jsonl", content, "where=shop.at", "open=shop.open", "colours")
    assert types == {"where": "place", "open": "flag", "colours": "list"}
    assert rows == [{"where": Place(52.5, 13.4), "open": True, "colours": ["red"]}, {}]


def test_value_of_another_type_costs_its_row_alone(tmp_path: Path) -> None:
    content = 'id,title,price,at\ni1,A,3,\ni2,B,cheap,\ni3,C,4,north\ni4,D,,"91,0"\n'
    _, rows = read(tmp_path / "items.csv", content, "price:number", "at:place")
    assert rows == [
        {"price": 3.0},
        "price: 'cheap' is not a number between -1e15 and 1e15",
        "at: 'north' is not a place; expected latitude and longitude, such as 52.5,13.4",
        "at: '91,0' is not a place; expected latitude and longitude, such as 52.5,13.4",
    ]


def test_all_other_columns_are_taken_and_a_picture_without_being_named(tmp_path: Path) -> None:
    content = "sku,name,Image Src,Brand,Weight,Empty\ni1,A,https://a.example/1.jpg,Acme,2.5,\n"
    types, rows = read(tmp_path / "items.csv", content)
    assert (types, rows) == ({"picture_url": "text"}, [{"picture_url": "https://a.example/1.jpg"}])
    types, rows = read(tmp_path / "items.csv", content, "*", "maker:text=Brand")
    assert types == {"maker": "text", "Weight": "number", "picture_url": "text"}
    assert rows == [{"maker": "Acme", "Weight": 2.5, "picture_url": "https://a.example/1.jpg"}]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("price", WantedAttribute("price", "price")),
        ("price:number", WantedAttribute("price", "price", "number")),
        ("price:number=Variant Price", WantedAttribute("price", "Variant Price", "number")),
        ("meta:_price", WantedAttribute("meta:_price", "meta:_price")),
        ("price=meta:_price", WantedAttribute("price", "meta:_price")),
    ],
)
def test_option_names_attribute_type_and_column(text: str, wanted: WantedAttribute) -> None:
    assert wanted_attribute(text) == wanted


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("price:money=Cost", "money is no type; there are number, text"),
        ("title", "title is a field of every item; say --map title=COLUMN"),
        ("=Cost", "the name"),
        ("*=Cost", "takes all other columns"),
    ],
)
def test_wrong_option_says_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(UserError) as error:
        wanted_attribute(text)
    assert complaint in str(error.value)


def test_unknown_and_repeated_columns_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--attribute colour: the file has no such column"):
        read(tmp_path / "items.csv", "id,title\ni1,A\n", "colour")
    with pytest.raises(UserError, match="--attribute title_2: named twice"):
        read(tmp_path / "items.csv", "id,title,title_2\ni1,A,B\n", "title_2", "title_2:text")


def test_attributes_alone_make_a_catalogue(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("id,price\ni1,3\n")
    source = detect_items(path, ImportOptions(attributes=(wanted_attribute("price"),)))
    assert source.columns.attributes == (AttributeColumn("price", "price", "number", guessed=True),)
    assert not any(isinstance(row, BadRow) for row in read_items(path, source))
