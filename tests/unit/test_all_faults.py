"""All faults of a body, each named by its path."""

import pytest
from msgspec import json

from app.core.decoding import InvalidInput
from app.core.submitted import decode_any, decode_impression, decode_watch


def faults(decode: object, body: object) -> list[tuple[str, str]]:
    with pytest.raises(InvalidInput) as raised:
        decode(json.encode(body))  # type: ignore[operator]
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
