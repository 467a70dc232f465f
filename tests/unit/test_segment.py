"""Messages of Segment's protocol become events: which, with which ids, and at which time."""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import events, segment_rules, submitted
from app.core.decoding import InvalidInput
from app.core.field_errors import FieldError
from app.core.segment_rules import Rules, with_built_in
from app.ingest.segment import Mapped, event_id_of, read_message

NOW_MS: Final = 1_795_000_000_000
RULES: Final = with_built_in(())
PRODUCTS: Final = [{"product_id": "tent", "position": 1}, {"product_id": 17850.0, "position": 2}, {"sku": "stove"}]


def read(rules: Rules = RULES, **message: Any) -> Mapped:
    message = {"type": "track", "messageId": "message-1", "userId": "ann"} | message
    return read_message(json.dumps(message).encode(), rules, received_ms=NOW_MS)


def ids(mapped: Mapped) -> list[str]:
    return [event.item_id for event in mapped.events if not isinstance(event, events.Impression)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Product Viewed", events.View),
        ("product_viewed", events.View),
        ("Viewed Product", events.View),
        ("Product Clicked", events.Click),
        ("Product Added", events.Action),
        ("Order Completed", events.Purchase),
    ],
)
def test_event_of_the_e_commerce_specification_is_mapped(name: str, kind: type) -> None:
    mapped = read(event=name, properties={"product_id": "tent"})
    assert [type(event) for event in mapped.events] == [kind]
    assert ids(mapped) == ["tent"]


def test_order_is_a_purchase_of_each_product() -> None:
    mapped = read(event="Order Completed", properties={"order_id": "o1", "products": PRODUCTS})
    assert ids(mapped) == ["tent", "17850", "stove"]
    assert len({event.event_id for event in mapped.events}) == 3


def test_bad_product_costs_itself_alone_and_keeps_the_ids_of_the_others() -> None:
    whole = read(event="Order Completed", properties={"products": PRODUCTS})
    mapped = read(event="Order Completed", properties={"products": [PRODUCTS[0], {"name": "no id"}, PRODUCTS[2]]})
    assert ids(mapped) == ["tent", "stove"]
    assert [error.path for error in mapped.errors] == ["$.properties.products[1].product_id"]
    assert [event.event_id for event in mapped.events] == [whole.events[0].event_id, whole.events[2].event_id]


@pytest.mark.parametrize(
    ("positions", "expected"),
    [((1, 2, 3), (0, 1, 2)), ((0, 1, 2), (0, 1, 2)), ((21, 22, 23), (20, 21, 22)), ((5, 5, 5), (0, 1, 2))],
)
def test_positions_of_a_list_begin_at_zero(positions: tuple[int, ...], expected: tuple[int, ...]) -> None:
    products = [{"product_id": f"item-{place}", "position": position} for place, position in enumerate(positions)]
    (event,) = read(event="Product List Viewed", properties={"list_id": "home", "products": products}).events
    assert isinstance(event, events.Impression)
    assert tuple(item.position for item in event.items) == expected
    assert {item.feed_id for item in event.items} == {"home"}


def test_anonymous_visitor_is_the_user_until_there_is_one() -> None:
    (event,) = read(userId=None, anonymousId="v1", event="Product Viewed", properties={"product_id": "tent"}).events
    assert (event.user_id, event.session_id) == ("v1", "v1")
    (event,) = read(anonymousId="v1", event="Product Viewed", properties={"product_id": "tent"}).events
    assert (event.user_id, event.session_id) == ("ann", "v1")
    session = {"context": {"sessionId": 1_795_000_000}}
    (event,) = read(**session, event="Product Viewed", properties={"product_id": "tent"}).events
    assert event.session_id == "1795000000"


@pytest.mark.parametrize("message_type", ["identify", "alias", "group", "page", "screen"])
def test_message_without_a_rule_is_unmapped(message_type: str) -> None:
    mapped = read(type=message_type, properties={"product_id": "tent"})
    assert (mapped.known, list(mapped.events), list(mapped.errors)) == (False, [], [])


def test_page_has_the_name_that_destinations_give_it() -> None:
    rules = with_built_in(segment_rules.parse('{"Viewed Product Page": "view"}'))
    assert ids(read(rules, type="page", name="Product", properties={"sku": "tent"})) == ["tent"]


def test_rule_of_the_setting_names_the_properties_that_are_read() -> None:
    rule = {"event_type": "watch", "item_id": "film.id", "watch_time_sec": "seconds"}
    rules = with_built_in(segment_rules.parse(json.dumps({"Film Played": rule, "Product Added": "none"})))
    (event,) = read(rules, event="film played", properties={"film": {"id": "alien"}, "seconds": 90}).events
    assert isinstance(event, events.Watch)
    assert (event.item_id, event.watch_time_sec) == ("alien", 90)
    assert not read(rules, event="Product Added", properties={"product_id": "tent"}).known
    assert [error.path for error in read(rules, event="film played", properties={"film": {"id": 1}}).errors] == [
        "$.properties.seconds"
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[]", "expected an object"),
        ("{", "not JSON"),
        ('{"A": "Bought"}', "$['A'].event_type: Invalid value 'Bought'; expected one of 'view', 'click'"),
        ('{"A": {"event_type": "view", "id": "x"}}', "unknown field `id`"),
        ('{"A b": "view", "a_B": "click"}', "'a_B' and 'A b' are the same event"),
    ],
)
def test_bad_rule_is_named(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        segment_rules.parse(text)


def test_clock_of_the_sender_is_corrected_and_a_retry_is_the_same_event() -> None:
    """The sender's clock is an hour ahead. The retry comes a minute later, and measures a little another difference."""
    hashes, times = set(), set()
    for received_ms, sent_at in ((NOW_MS, "2026-11-18T13:06:40Z"), (NOW_MS + 60_000, "2026-11-18T13:07:39.900Z")):
        message = {
            "messageId": "message-1",
            "userId": "ann",
            "event": "Product Viewed",
            "properties": {"product_id": "tent"},
            "originalTimestamp": "2026-11-18T13:06:30Z",
            "timestamp": "nonsense that is not read",
            "sentAt": sent_at,
        }
        mapped = read_message(json.dumps(message).encode(), RULES, received_ms=received_ms, kind="track")
        record = events.accept(
            mapped.events[0], now_ms=received_ms, entropy=b"", clock_behind_ms=mapped.clock_behind_ms
        )
        hashes.add((record.event_id, record.content_hash))
        times.add(record.ts_ms - NOW_MS)
    assert len(hashes) == 1
    assert times == {-10_000, -9_900}


def test_unreadable_time_is_an_error() -> None:
    mapped = read(event="Product Viewed", properties={"product_id": "tent"}, timestamp="yesterday")
    assert [error.path for error in mapped.errors] == ["$.timestamp"]


@given(st.text(min_size=1), st.text(min_size=1), st.integers(0, 499), st.integers(0, 499))
def test_ids_differ_whenever_message_or_product_does(one: str, other: str, place: int, elsewhere: int) -> None:
    assert (event_id_of(one, place) == event_id_of(other, elsewhere)) == ((one, place) == (other, elsewhere))
    assert 8 <= len(event_id_of(one, place)) <= 64


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_fields = st.sampled_from(["messageId", "userId", "anonymousId", "timestamp", "sentAt", "originalTimestamp", "context"])
_products = st.lists(st.fixed_dictionaries({}, optional={"product_id": _json, "position": _json}) | _json, max_size=4)
_messages = st.builds(
    lambda message, properties: {"type": "track", **message, "properties": properties},
    st.dictionaries(_fields, _json) | st.fixed_dictionaries({"userId": st.text(), "messageId": st.text()}),
    _json | st.fixed_dictionaries({"products": _products}, optional={"list_id": _json, "session_id": _json}),
)


@given(_messages, st.sampled_from(["Product Viewed", "Order Completed", "Product List Viewed", "Played"]))
def test_any_message_becomes_valid_events_or_errors_with_paths(message: dict[str, Any], name: str) -> None:
    rules = with_built_in(segment_rules.parse('{"Played": "watch"}'))
    raw = json.dumps({**message, "event": name}).encode()
    try:
        mapped = read_message(raw, rules, received_ms=NOW_MS)
        errors = mapped.errors
    except InvalidInput as error:
        mapped, errors = Mapped(), error.field_errors
    assert mapped.events or errors
    assert [error.path for error in errors if not error.path.startswith("$")] == []
    for event in mapped.events:
        decoded = submitted.decode_any(msgspec.json.encode(event))
        assert {error.path for error in accepted(decoded, mapped)} <= {"$.ts_ms", "$.context"}


def accepted(event: events.AnyEvent, mapped: Mapped) -> Sequence[FieldError]:
    try:
        events.accept(event, now_ms=NOW_MS, entropy=bytes(10), clock_behind_ms=mapped.clock_behind_ms)
    except InvalidInput as error:
        return error.field_errors
    return ()
