"""All faults of a body, each named by its path."""

import pytest
from msgspec import UNSET, Struct, json
from msgspec.json import Decoder

from app.core.decoding import InvalidInput, decode, decode_known
from app.core.submitted import decode_any, decode_impression, decode_watch


def faults(decode: object, body: object) -> list[tuple[str, str]]:
    with pytest.raises(InvalidInput) as raised:
        decode(json.encode(body))
    return [(fault.path, fault.message) for fault in raised.value.field_errors]


def test_a_body_with_several_faults_names_each_of_them() -> None:
    body = {"user_id": "", "item_id": [], "watch_time_sec": -1, "surprise": True}
    assert sorted(faults(decode_watch, body)) == [
        ("$", "Object contains unknown field `surprise`"),
        ("$", "Object missing required field `session_id`"),
        ("$.item_id", "Expected `str`, got `array`"),
        ("$.user_id", "Expected `str` of length >= 1"),
        ("$.watch_time_sec", "Expected `float` >= 0.0"),
    ]


def test_faults_of_list_items_have_the_number_of_the_item() -> None:
    items = [{"item_id": "a", "position": 0}, {"item_id": "", "position": -1}, {"position": 2}]
    assert [path for path, _ in faults(decode_impression, {"user_id": "u", "session_id": "s", "items": items})] == [
        "$.items[1].item_id",
        "$.items[1].position",
        "$.items[2]",
    ]


def test_a_struct_that_the_body_names_tells_its_faults_and_an_unknown_name_what_there_is() -> None:
    body = {"event_type": "click", "user_id": [], "session_id": True, "item_id": "i"}
    assert [path for path, _ in faults(decode_any, body)] == ["$.user_id", "$.session_id"]
    (path, message), *others = faults(decode_any, {**body, "event_type": "hover"})
    assert path == "$.event_type"
    assert "'watch'" in message
    assert [other for other, _ in others] == ["$.user_id", "$.session_id"]


def test_a_list_of_the_wrong_length_is_one_fault() -> None:
    ((path, message),) = faults(decode_impression, {"user_id": "u", "session_id": "s", "items": []})
    assert (path, message) == ("$.items", "Expected `array` of length >= 1")


def test_a_fault_before_what_is_not_json_is_told_alone() -> None:
    with pytest.raises(InvalidInput) as raised:
        decode_watch(b'{"user_id": 1, "session_id": 2, x')
    assert [fault.path for fault in raised.value.field_errors] == ["$.user_id"]


def test_wrong_members_of_an_object_with_free_names_are_named() -> None:
    class Body(Struct):
        shares: dict[str, float]

    with pytest.raises(InvalidInput) as raised:
        decode(Decoder(Body), b'{"shares": {"one": 0.5, "other": "half", "third": []}}')
    assert [fault.path for fault in raised.value.field_errors] == ["$.shares.other", "$.shares.third"]


def test_what_is_known_of_a_body_with_faults_is_kept_in_its_place() -> None:
    class Inner(Struct):
        count: int
        name: str = "none"

    class Body(Struct, kw_only=True):
        inner: Inner
        items: list[Inner]
        shares: dict[str, float | list[float]]
        size: int = 3

    items = b'[{"count": 1}, 2, {"name": 5, "count": 4}]'
    body = b'{"inner": {"count": "x"}, "items": %s, "shares": {"a": 1, "b": "", "c": [2, ""]}}' % items
    found, faults = decode_known(Decoder(Body), body)
    assert [fault.path for fault in faults] == [
        "$.inner.count",
        "$.items[1]",
        "$.items[2].name",
        "$.shares.b",
        "$.shares.c[1]",
    ]
    assert (found.inner.count, found.inner.name, found.size) == (UNSET, "none", 3)
    assert [one if one is UNSET else (one.count, one.name) for one in found.items] == [(1, "none"), UNSET, (4, UNSET)]
    assert found.shares == {"a": 1.0}
    with pytest.raises(InvalidInput):
        decode_known(Decoder(Body), b"[]")
