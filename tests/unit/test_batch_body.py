"""A batch is taken apart whatever its events hold, and refused with the position where it cannot be."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.batch_body import decode_batch, split_lines, take_apart
from app.core.decoding import InvalidInput
from app.core.events import MAX_BATCH_EVENTS

NOT_JSON = (
    rb'{"title":"caf\ud83d"}',
    b'{"title":"a\x00b"}',
    b'{"title":"line\nbreak, and [brackets}"}',
    b'{"share":NaN}',
    b'{"share":-Infinity}',
    rb'{"path":"C:\q"}',
    b"{'user_id':1}",
    b"undefined",
    b'{"a":1,}',
    b'{"a":[1,2,],"b":[[],[]],}',
    b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}",
)
_signs = st.text(alphabet='[]{},:"\\\n é', max_size=6)
_objects = st.dictionaries(_signs, _signs | st.lists(_signs, max_size=3) | st.none(), max_size=3)


def taken(body: bytes) -> list[bytes]:
    return [bytes(event) for event in decode_batch(body).events]


@given(st.lists(_objects, min_size=1, max_size=8), st.sampled_from(NOT_JSON), st.integers(0, 8), st.booleans())
def test_one_event_that_is_not_json_leaves_the_others_as_they_were(
    events: list[dict[str, Any]], bad: bytes, place: int, in_object: bool
) -> None:
    sent = [json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass") for event in events]
    sent.insert(place, bad)
    body = b"[ " + b" ,\n".join(sent) + b"\t]"
    assert taken(b' {"events" : ' + body + b"}\n" if in_object else body) == sent


@pytest.mark.parametrize("bad", NOT_JSON)
def test_each_kind_of_bad_event_is_one_of_its_batch(bad: bytes) -> None:
    assert taken(b'[{"a":1},' + bad + b',{"b":"]"}]') == [b'{"a":1}', bad, b'{"b":"]"}']


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        (b"", "$", "not JSON"),
        (b"[", "$", "the array is never closed (byte 1)"),
        (b'[{"a":1}', "$", "the array is never closed (byte 8)"),
        (b'{"events":[{"a":1}', "$.events", "the array is never closed (byte 18)"),
        (b'[{"a":"x}, {"b":"y"}]', "$", "a string is never closed (byte 18)"),
        (b"[{},,{}]", "$", "an event is missing (byte 4)"),
        (b"[{},]", "$", "an event is missing (byte 4)"),
        (b"[{]}]", "$", "']' closes nothing (byte 2)"),
        (b"[nan}]", "$", "'}' closes nothing (byte 4)"),
        (b"[nan] 1", "$", "invalid character (byte 2)"),
        (b'{"events":[nan]', "$", "(byte 12)"),
        (b"[" * 1_000_000, "$", "more than 100000 brackets"),
    ],
)
def test_body_that_cannot_be_taken_apart_names_the_position(body: bytes, path: str, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        decode_batch(body)
    assert raised.value.malformed
    (error,) = raised.value.field_errors
    assert error.path == path
    assert message in error.message


@pytest.mark.parametrize(
    "body", [b"[]", b"[nan" + b",1" * MAX_BATCH_EVENTS + b"]", b"[" + b"1," * MAX_BATCH_EVENTS + b"1]"]
)
def test_number_of_events_outside_the_bounds_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput, match=f"expected 1 to {MAX_BATCH_EVENTS} events") as raised:
        decode_batch(body)
    assert not raised.value.malformed


def test_unknown_field_beside_the_events_is_named() -> None:
    with pytest.raises(InvalidInput, match="unknown field `sent`"):
        decode_batch(b'{"events":[{}],"sent":1}')


def test_lines_are_events_and_blank_ones_are_not() -> None:
    assert split_lines(b'{"a":1}\n\n \r\n{"b":\n').events == [msgspec.Raw(b'{"a":1}'), msgspec.Raw(b'{"b":')]


@given(st.lists(st.sampled_from(NOT_JSON) | _objects.map(lambda found: json.dumps(found).encode()), max_size=6))
def test_array_in_an_object_is_taken_apart_whatever_stands_beside_it(messages: list[bytes]) -> None:
    array = b"[" + b" , ".join(messages) + b"]"
    for body in (b'{"batch":' + array + b',"a":NaN}', b' {"a":NaN, "batch" : ' + array + b" } "):
        elements, others = take_apart(body, "batch", 6)
        assert ([bytes(element) for element in elements], others) == (messages, [b'"a":NaN'])


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"[]", "$"),
        (b"{", "$"),
        (b"{]}", "$"),
        (b'{"batch":[1]} x', "$"),
        (b'{"batch":[1] x}', "$.batch"),
        (b'{"batch":nan}', "$.batch"),
        (b'{"other":[nan]}', "$.batch"),
        (b'{"batch":[1,2,3]}', "$.batch"),
    ],
)
def test_object_without_such_an_array_is_refused(body: bytes, path: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        take_apart(body, "batch", 2)
    assert raised.value.field_errors[0].path == path
