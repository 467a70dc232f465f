"""What an error says of a wrong field: where it is, and which values it takes."""

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from app.api.recommendations import RecoQuery
from app.api.rules import BoostRule, PinRule
from app.core import submitted
from app.core.decoding import InvalidInput, decode, decode_known
from app.core.field_errors import FieldError
from app.http.context import RequestContext
from app.http.schema import query_of


class Cat(Struct, tag="cat", tag_field="kind"):
    color: Literal["black", "white"] | None = None
    kittens: list["Cat"] = []


class Dog(Struct, tag="dog", tag_field="kind"):
    color: Annotated[Literal["brown"], Meta(description="of its coat")] = "brown"


class Anything(Struct):
    known: int
    any: Any = None


class Home(Struct):
    pets: dict[str, Cat | Dog]
    rooms: tuple[Literal["hall", "attic"], ...] = ()


def error_of(kind: Any, body: str) -> FieldError:
    with pytest.raises(InvalidInput) as raised:
        decode(msgspec.json.Decoder(kind), body.encode())
    (error,) = raised.value.field_errors
    return error


def test_a_body_about_as_deep_as_can_be_read_is_read_or_refused() -> None:
    decoder = msgspec.json.Decoder(Anything)
    outcomes = set()
    for depth in range(700, 1_100):
        deep = b'{"known": %s, "any": %s}'
        for known in (b"1", b'"x"'):
            body = deep % (known, b"[" * depth + b"]" * depth)
            try:
                decode_known(decoder, body)
            except InvalidInput as error:
                outcomes.update(fault.message for fault in error.field_errors)
            else:
                outcomes.add("read")
    assert {"read", "nested too deeply"} <= outcomes


def test_unknown_enum_value_names_those_that_there_are() -> None:
    error = error_of(Home, '{"pets": {}, "rooms": ["hall", "loft"]}')
    assert error == FieldError("$.rooms[1]", "Invalid enum value 'loft'; expected one of 'attic', 'hall'")


def test_unknown_enum_value_in_an_object_names_those_that_there_are() -> None:
    error = error_of(Home, '{"pets": {"tom": {"kind": "cat", "kittens": [{"color": "red"}]}}}')
    assert error.path == "$.pets.tom.kittens[0].color"
    assert error.message == "Invalid enum value 'red'; expected one of 'black', 'white'"


@pytest.mark.parametrize(
    ("kind", "body", "path", "tags"),
    [
        (Cat | Dog, '{"kind": "cow"}', "$.kind", "'cat', 'dog'"),
        (list[Cat | Dog], '[{"kind": "cow"}]', "$[0].kind", "'cat', 'dog'"),
        (Home, '{"pets": {"tom": {"kind": "cow"}}}', "$.pets.tom.kind", "'cat', 'dog'"),
        (Cat, '{"kind": "dog"}', "$.kind", "'cat'"),
    ],
)
def test_unknown_tag_names_those_that_there_are(kind: Any, body: str, path: str, tags: str) -> None:
    error = error_of(kind, body)
    assert error.path == path
    assert error.message.endswith(f"; expected one of {tags}")


def test_error_of_another_kind_lists_nothing() -> None:
    assert error_of(Home, '{"pets": 1}') == FieldError("$.pets", "Expected `object`, got `int`")
    assert error_of(Home, "1") == FieldError("$", "Expected `object`, got `int`")


def test_text_of_another_encoding_says_at_which_byte_it_begins() -> None:
    body = '{"user_id": "u", "session_id": "s", "item_id": "caf\u00e9", "event_type": "view"}'.encode("latin-1")
    with pytest.raises(InvalidInput) as raised:
        submitted.decode_interaction(body)
    (fault,) = raised.value.field_errors
    assert (fault.path, fault.message) == ("$", "not JSON: text that is not UTF-8: 0xe9 (byte 51)")


def test_currency_of_another_form_says_which_there_are() -> None:
    body = b'{"user_id": "u", "session_id": "s", "item_id": "i", "event_type": "view", "value": 1, "currency": "Euro"}'
    with pytest.raises(InvalidInput) as raised:
        submitted.decode_interaction(body)
    (fault,) = raised.value.field_errors
    assert (fault.path, fault.message) == ("$.currency", "Expected three capital letters of ISO 4217, such as 'EUR'")


def test_unknown_event_type_names_those_that_there_are() -> None:
    known = "expected one of 'view', 'click', 'purchase', 'watch', 'impression', 'cancel', 'cart', 'dislike', 'hide', "
    with pytest.raises(InvalidInput, match=known):
        submitted.decode_any(b'{"event_type": "hover"}')
    of_items = "expected one of 'view', 'click', 'purchase', 'cancel', 'cart', 'dislike', "
    for body, where in ((b'{"event_type": "watch"}', "sent to /log/watch or"), (b'{"event_type": "hover"}', "")):
        with pytest.raises(InvalidInput, match=of_items) as raised:
            submitted.decode_interaction(body)
        assert where in str(raised.value)


def test_unknown_value_in_a_query_names_those_that_there_are() -> None:
    scope: Any = {"query_string": b"user_id=ann&repeats=often", "state": {"reco": RequestContext({})}}
    with pytest.raises(InvalidInput) as raised:
        query_of(scope, RecoQuery)
    (error,) = raised.value.field_errors
    assert error.path == "$.repeats"
    assert error.message.endswith("; expected one of 'allow', 'avoid', 'learned', 'only'")


def test_unknown_action_of_a_rule_names_those_that_there_are() -> None:
    assert error_of(PinRule | BoostRule, '{"action": "bury"}').message.endswith("; expected one of 'pin', 'boost'")
