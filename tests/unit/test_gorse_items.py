"""Labels of Gorse's items, which may be any JSON, as tags."""

from typing import Any, Final

import msgspec
import pytest

from app.api.gorse.item_bodies import read_changes, read_item
from app.core.decoding import InvalidInput

_LONG: Final = "x" * 129


def tags_of(labels: Any) -> list[str]:
    return read_item(msgspec.json.encode({"ItemId": "tent", "Labels": labels})).tags


@pytest.mark.parametrize(
    ("labels", "tags"),
    [
        ("red", ["red"]),
        (["red", ["blue", 1.5, "red"], "green"], ["red", "blue", "green"]),
        ({"color": "red", "size": {"shoe": ["M", "L"]}}, ["color:red", "size.shoe:M", "size.shoe:L"]),
        ({"": {"a": "b"}, _LONG: {"c": "d"}, "e": {_LONG: "f"}}, ["a:b"]),
        ({"e": {"g": _LONG[:124], "h": _LONG[:125]}}, [f"e.g:{_LONG[:124]}"]),
        ([_LONG, "", "a\nb", None, True, 7], []),
        ([f"word-{number}" for number in range(60)], [f"word-{number}" for number in range(50)]),
        (None, []),
    ],
)
def test_words_become_tags(labels: Any, tags: list[str]) -> None:
    assert tags_of(labels) == tags
    assert read_changes(msgspec.json.encode({"Labels": labels})).get("tags", []) == tags


def test_labels_about_as_deep_as_can_be_read_are_read_or_refused() -> None:
    found = set()
    for depth in range(700, 1_100):
        body = b'{"ItemId": "tent", "Labels": ' + b"[" * depth + b'"red"' + b"]" * depth + b"}"
        try:
            found.update(read_item(body).tags)
        except InvalidInput as error:
            found.update(fault.message for fault in error.field_errors)
    assert found == {"red", "nested too deeply"}


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.9999Z"])
def test_time_after_the_last_year_is_refused(time: str) -> None:
    """One that UTC or the rounding to milliseconds carries into the year 10000."""
    for read, fields in ((read_item, {"ItemId": "tent"}), (read_changes, {})):
        with pytest.raises(InvalidInput) as caught:
            read(msgspec.json.encode({**fields, "Timestamp": time}))
        assert [fault.path for fault in caught.value.field_errors] == ["$.Timestamp"]
