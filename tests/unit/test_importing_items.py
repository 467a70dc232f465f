"""A catalogue's columns and values."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.errors import UserError
from app.importing.items import ItemRow, guess_items, item_maker
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, detect_items, read_items

ALL = ["item_id", "title", "categories", "tags", "published_at", "expires_at", "hidden"]


def make(**values: object) -> ItemRow:
    return item_maker(guess_items(ALL, ImportOptions()))({"item_id": "i", **values}, 7, 99)


@pytest.mark.parametrize(
    ("present", "fields"),
    [
        (["movieId", "title", "genres"], {"item_id": "movieId", "title": "title", "categories": "genres"}),
        (
            ["id", "SKU", "Product Name", "description", "Product-Type", "keywords", "Is_Hidden", "price"],
            {
                "item_id": "SKU",
                "title": "Product Name",
                "categories": "Product-Type",
                "tags": "keywords",
                "hidden": "Is_Hidden",
            },
        ),
        (["id", "name", "Release Date"], {"item_id": "id", "title": "name", "published_at": "Release Date"}),
        (ALL, {name: name for name in ALL}),
    ],
)
def test_usual_names_are_found(present: list[str], fields: dict[str, str]) -> None:
    columns = guess_items(present, ImportOptions())
    assert columns.fields == fields
    assert set(columns.absent) == set(ALL) - set(fields)


def test_several_errors_are_in_one_message() -> None:
    with pytest.raises(UserError) as error:
        guess_items(["a", "b"], ImportOptions(columns={"user_id": "a", "title": "nowhere"}))
    for part in ("user_id=a", "title=nowhere", "--map item_id=COLUMN", "a, b"):
        assert part in str(error.value)
    with pytest.raises(UserError, match="no column besides sku is known"):
        guess_items(["sku", "colour"], ImportOptions())


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        ("Action|Sci-Fi| Action ||", ["Action", "Sci-Fi"]),
        ("(no genres listed)", []),
        ('["a|b", "c", 7]', ["a|b", "c", "7"]),
        (["a", "b", "a"], ["a", "b"]),
        (12, ["12"]),
        ("", []),
        (None, []),
    ],
)
def test_labels_in_their_notations(value: object, labels: list[str]) -> None:
    row = make(categories=value, tags=value)
    assert (row.categories, row.tags) == (labels, labels)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1939-12-15", datetime(1939, 12, 15, tzinfo=UTC)),
        ("2999-01-01T01:00:00+01:00", datetime(2999, 1, 1, tzinfo=UTC)),
        (1_700_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("", None),
    ],
)
def test_dates_of_any_age(value: object, expected: datetime | None) -> None:
    assert (make(published_at=value).published_at, make(expires_at=value).expires_at) == (expected, expected)


@pytest.mark.parametrize(
    ("value", "hidden"),
    [(True, True), ("TRUE", True), ("yes", True), (1, True), (False, False), ("0", False), ("n", False), ("", False)],
)
def test_hidden_in_its_notations(value: object, hidden: bool) -> None:
    assert make(hidden=value).hidden is hidden


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"item_id": ""}, "item_id: the value is missing"),
        ({"item_id": "x" * 129}, "item_id: Expected `str` of length <= 128"),
        ({"title": ["a"]}, "title: ['a'] is not text"),
        ({"categories": "[1,"}, "categories: '[1,' starts like a JSON list but is not valid JSON"),
        ({"categories": [[["a"]]]}, "categories: ['a'] is not a name"),
        ({"tags": "a|b\x00"}, "tags[1]: Expected printable characters only"),
        ({"tags": [str(n) for n in range(51)]}, "tags: Expected `array` of length <= 50"),
        ({"hidden": "perhaps"}, "hidden: 'perhaps' is neither true nor false"),
        ({"published_at": "soon"}, "published_at: 'soon' is neither a number nor ISO 8601"),
        ({"published_at": 1994}, "published_at: 1994 would be before 1990; is the unit right"),
        ({"expires_at": "0001-01-01T00:00:00+14:00"}, "is not between the years 1 and 9999"),
        ({"published_at": "2030-01-01", "expires_at": "2029-01-01"}, "expires_at: not after published_at"),
    ],
)
def test_a_bad_value_is_refused_with_its_column_and_the_reason(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is what is tested
        make(**changed)
    assert reason in str(error.value)


def test_a_field_that_only_a_late_line_has_is_found(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"sku": 1, "name": "a"}\n' * 200 + 'junk\n{"sku": 2, "hidden": true}\n')
    source = detect_items(path, ImportOptions())
    assert source.columns.fields == {"item_id": "sku", "title": "name", "hidden": "hidden"}
    *_, bad, last = read_items(path, source)
    assert isinstance(bad, BadRow)
    assert bad.line == 201
    assert isinstance(last, ItemRow)
    assert (last.item_id, last.hidden, last.title) == ("2", True, None)
