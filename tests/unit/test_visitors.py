"""A visitor's events: who may be meant, and who is where nobody is named."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import submitted
from app.core.decoding import InvalidInput
from app.core.events import AnyEvent
from app.core.visitors import OtherUser, Visitor, check_visitor_id

ID = "v" * 22
ANONYMOUS, KNOWN, BOTH = Visitor(ID, None), Visitor(None, "ann"), Visitor(ID, "ann")
VIEW = {"event_type": "view", "session_id": "s1", "item_id": "tent"}


def event(**more: Any) -> AnyEvent:
    return submitted.decode_any(json.dumps({"user_id": "ann", **VIEW, **more}).encode())


def faults(visitor: Visitor, **more: Any) -> list[str]:
    try:
        visitor.check_event(event(**more))
    except OtherUser as error:
        return [fault.path for fault in error.field_errors]
    return []


def test_the_account_is_meant_before_the_browser() -> None:
    assert [visitor.user_id for visitor in (ANONYMOUS, KNOWN, BOTH)] == [f"visitor:{ID}", "ann", "ann"]
    for user_id in ("bob", ID, "visitor:", "visitor:None", "None", f"visitor:{ID}x"):
        for visitor in (ANONYMOUS, KNOWN, BOTH):
            with pytest.raises(OtherUser):
                visitor.check(user_id)
    BOTH.check("ann")
    BOTH.check(f"visitor:{ID}")


def test_a_link_goes_from_the_browser_to_the_account_alone() -> None:
    mine = f"visitor:{ID}"
    assert faults(BOTH, anonymous_id=mine) == []
    assert faults(BOTH, anonymous_id="visitor:other") == ["$.anonymous_id"]
    assert faults(BOTH, user_id=mine, anonymous_id="ann") == ["$.anonymous_id"]
    assert faults(KNOWN, anonymous_id=mine) == ["$.anonymous_id"]
    assert faults(ANONYMOUS, anonymous_id=mine) == ["$.user_id", "$.anonymous_id"]


@given(
    st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.text()), max_size=4),
    st.sampled_from(["", " ", "\n\t"]),
)
def test_whatever_else_an_event_says_is_kept(said: dict[str, Any], space: str) -> None:
    raw = (space + json.dumps(said)).encode()
    assert msgspec.json.decode(ANONYMOUS.fill_in(raw)) == {"user_id": ANONYMOUS.user_id, **said}


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"text"', b"{\xff}", b"[" * 5000, b'{"a": 1} x'])
def test_what_is_no_object_is_left_to_the_decoder(raw: bytes) -> None:
    assert ANONYMOUS.fill_in(raw) == raw


def test_a_short_id_is_none_of_chance() -> None:
    check_visitor_id("0" * 22)
    check_visitor_id("8f14e45f-ceea-467f-a9f1-000000000000")
    for wrong in ("", "0" * 21, "0" * 65, "0" * 21 + ":", "0" * 22 + "\n"):
        with pytest.raises(InvalidInput, match="X-Visitor-ID"):
            check_visitor_id(wrong)
