"""Filters: what they keep, what is wrong with their texts, and where."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.timestamps import read_ms
from app.core.attributes import AttributeType
from app.core.catalogue import Card
from app.core.decoding import InvalidInput
from app.core.filter_checks import MAX_DISTANCES, MAX_VALUES
from app.core.filter_columns import Columns
from app.core.filter_language import MAX_DEPTH, UnfitFilter, filter_of

DECLARED: Final[dict[str, AttributeType]] = {
    "price": "number",
    "brand": "text",
    "in stock": "flag",
    "released": "time",
    "sizes": "list",
    "shop": "place",
}
NOW: Final = 1_800_000_000_000
DAY: Final = 86_400_000
BERLIN: Final = {"lat": 52.52, "lon": 13.405}
CARDS: Final = {
    "tent": Card(
        title="A tent",
        categories=frozenset({"camping", "sale"}),
        attributes={"price": 149.0, "brand": "acme", "in stock": True, "shop": BERLIN, "sizes": ["S", "M"]},
    ),
    "stove": Card(
        title="A stove",
        categories=frozenset({"camping"}),
        tags=frozenset({"new"}),
        published_ms=NOW - DAY,
        attributes={"price": 49.9, "brand": "peak", "in stock": False, "released": {"at_ms": NOW - 10 * DAY}},
    ),
    "lamp": Card(
        attributes={"price": "a text of an older declaration", "brand": "O'Neill", "released": {"at_ms": NOW}}
    ),
    "rope": Card(),
}


def kept(text: str) -> list[str]:
    return filter_of(text, DECLARED, read_ms).kept(list(CARDS), CARDS, NOW)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("price < 50", ["stove"]),
        ("price >= 49.9 and price <= 149", ["tent", "stove"]),
        ("price = 149 OR brand = 'x'", ["tent"]),
        ("price in (149, 49.9)", ["tent", "stove"]),
        ("price not in (149)", ["stove", "lamp", "rope"]),
        ("price != 149", ["stove", "lamp", "rope"]),
        ("not price < 50", ["tent", "lamp", "rope"]),
        ("price < 49.900000000000006", ["stove"]),
        ("price > .5E+2 and price < 1e15", ["tent"]),
        ("price >= 5. and price < 4.99e1", []),
        ("released < now + 1e40d", ["stove", "lamp"]),
        ("released > now - 9999999999999999999999d", ["stove", "lamp"]),
        ("price exists", ["tent", "stove"]),
        ("not price exists", ["lamp", "rope"]),
        ("brand = 'acme'", ["tent"]),
        ('brand = "acme"', ["tent"]),
        (r"brand = 'O\'Neill'", ["lamp"]),
        ("brand in ('acme', 'peak', 'nobody')", ["tent", "stove"]),
        ('"in stock"', ["tent"]),
        ('not "in stock"', ["stove", "lamp", "rope"]),
        ('"in stock" = false', ["stove"]),
        ("released > '2000-01-01'", ["stove", "lamp"]),
        ("released > now - 7d", ["lamp"]),
        ("released <= now - 1 h", ["stove"]),
        ("released <= now-1h", ["stove"]),
        ('brand != ""', ["tent", "stove", "lamp", "rope"]),
        ("published_at > now - 2d", ["stove"]),
        ("sizes has 'M'", ["tent"]),
        ("sizes in ('L', 'M') and sizes has 'S'", ["tent"]),
        ("categories in ('sale', 'camping')", ["tent", "stove"]),
        ("categories has 'camping' and not categories has 'sale'", ["stove"]),
        ("tags has 'new'", ["stove"]),
        ("title = 'A tent'", ["tent"]),
        ("item_id in ('rope', 'lamp')", ["lamp", "rope"]),
        ("distance(shop, 52.5, 13.4) < 5 km", ["tent"]),
        ("distance(shop, 52.5, 13.4) < 500 m", []),
        ("distance(shop, 48.14, 11.58) > 500km", ["tent"]),
        ("price < 50 or price > 100 and brand = 'peak'", ["stove"]),
        ("(price < 50 or price > 100) and brand = 'acme'", ["tent"]),
    ],
)
def test_a_filter_keeps_what_it_says(text: str, wanted: list[str]) -> None:
    assert kept(text) == wanted


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("price", ["`price` is a number: write price < 50, price = 50 or price in (50, 60) (at character 1)"]),
        ("price < 'x'", ["`price` is a number"]),
        ("price in (1, 'x')", ["`price` is a number"]),
        ("brand < 'x'", ["`brand` is a text"]),
        ("sizes = 'x'", ["`sizes` is a list: write sizes has 'some text'"]),
        ('"in stock" = 1', ['`in stock` is a flag: write "in stock", or not "in stock" (at character 1)']),
        ("released > 'yesterday'", ["`released` is a time: write released > '2026-12-24'"]),
        ("shop = 1", ["`shop` is a place: write distance(shop, 52.5, 13.4) < 5 km"]),
        ("distance(shop, 52.5, 13.4) = 5 km", ["`shop` is a place: write distance(shop, 52.5, 13.4) < 5 km"]),
        ("distance(shop, 52.5, 13.4) != 5 km", ["`shop` is a place: write distance(shop, 52.5, 13.4) < 5 km"]),
        ("distance(shop, 52.5, 13.4) < -5 km", ["a distance is 0 or more"]),
        ("distance(price, 1, 1) < 5 km", ["`price` is a number"]),
        ('"" = 5', ["unknown attribute ``; known are"]),
        ("distance(shop, 91, 1) < 5 km", ["a latitude is from -90 to 90"]),
        ("colour = 'red' and size = 5", ["unknown attribute `colour`; known are brand,", "unknown attribute `size`"]),
        (f"price in ({', '.join(['1'] * (MAX_VALUES + 1))})", ["more than 500 values"]),
        (" or ".join(["distance(shop, 52.5, 13.4) < 5 km"] * (MAX_DISTANCES + 1)), ["more than 10 distances"]),
    ],
)
def test_every_part_that_does_not_fit_is_named(text: str, faults: list[str]) -> None:
    with pytest.raises(UnfitFilter) as caught:
        kept(text)
    assert [error.path for error in caught.value.field_errors] == ["$.filter"] * len(faults)
    for error, fault in zip(caught.value.field_errors, faults, strict=True):
        assert error.message.startswith(fault)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("price <", "at the end"),
        ("price < 50 $", "at character 12, before $"),
        ("'price' < 50", 'expected "a name"'),
        ("price < 50 brand = 'x'", "expected `)`, `,`, `and`, `or` at character 12, before brand = 'x'"),
        ("price < " + "9" * 400, "at character"),
        ("not " * (MAX_DEPTH + 1) + "price < 50", f"more than {MAX_DEPTH} times"),
        ("(" * 2_000, "at the end"),
        ("", "at the end"),
        ("released > now - -7d", "expected a number at character 18, before -7d"),
    ],
)
def test_text_that_is_no_filter_is_refused_with_the_place(text: str, fault: str) -> None:
    with pytest.raises(InvalidInput, match=r"not a filter|stand in each other") as caught:
        kept(text)
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        *((name, name) for name in ("größe", "ärmel", "цена", "価格", "_x1", "and", "exists", "true")),
        *((name, f'"{name}"') for name in ("1x", "not", "Distance", "in stock", "t-shirt")),
        ('a"\\b', r'"a\"\\b"'),
    ],
)
def test_a_name_is_told_as_a_filter_takes_it(name: str, written: str) -> None:
    tent = {"tent": Card(attributes={name: 5.0})}
    with pytest.raises(UnfitFilter) as caught:
        filter_of(f"nothing = 1 and {written} = 'x'", {name: "number"}, read_ms)
    unknown, unfit = (error.message for error in caught.value.field_errors)
    assert written in unknown.partition("known are ")[2]
    assert f"write {written} < 50" in unfit
    assert filter_of(f"{written} = 5", {name: "number"}, read_ms).kept(["tent"], tent, NOW) == ["tent"]


def test_brackets_alone_make_nothing_deep() -> None:
    assert kept("(" * 900 + "price < 50" + ")" * 900) == ["stove"]


@given(st.text(alphabet="price<>=!()' \"and or not in has distance,.5km\\\nü\x00", max_size=60))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    paths = []
    try:
        kept(text)
    except InvalidInput as error:
        paths = [field_error.path for field_error in error.field_errors]
    assert set(paths) <= {"$.filter"}


VALUES: Final = st.fixed_dictionaries(
    {},
    optional={"price": st.integers(0, 5).map(float), "brand": st.sampled_from("abc"), "in stock": st.booleans()},
)
TESTS: Final = st.one_of(
    st.integers(0, 5).map(lambda bound: (f"price < {bound}", lambda one: "price" in one and one["price"] < bound)),
    st.sampled_from("abc").map(lambda brand: (f"brand = '{brand}'", lambda one: one.get("brand") == brand)),
    st.just(('"in stock"', lambda one: one.get("in stock", False))),
    st.just(("price exists", lambda one: "price" in one)),
)


def joined(parts: Any) -> Any:
    def both(pair: Any) -> Any:
        (left, holds), (right, also) = pair
        return f"({left}) and ({right})", lambda one: holds(one) and also(one)

    def either(pair: Any) -> Any:
        (left, holds), (right, also) = pair
        return f"({left}) or ({right})", lambda one: holds(one) or also(one)

    def negated(part: Any) -> Any:
        return f"not ({part[0]})", lambda one: not part[1](one)

    return st.one_of(st.tuples(parts, parts).map(both), st.tuples(parts, parts).map(either), parts.map(negated))


@given(st.lists(VALUES, max_size=12), st.recursive(TESTS, joined, max_leaves=6))
def test_columns_agree_with_the_items_one_by_one(items: list[dict[str, Any]], test: Any) -> None:
    text, holds = test
    columns = Columns([(str(number), Card(attributes=one)) for number, one in enumerate(items)])
    found = filter_of(text, DECLARED, read_ms).keeps(columns, NOW).tolist()
    assert found == [bool(holds(one)) for one in items]
