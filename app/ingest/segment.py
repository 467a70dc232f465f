"""Translates messages of Segment's protocol (segment.com/docs/connections/spec) into events of ours.

A message may become several events: an order is a purchase of each of its products. Their ids are made of the message's
id and the product's position, so that a message that is sent again becomes the same events. Nothing here reads a clock.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from app.core.decoding import InvalidInput, decode
from app.core.event_times import clock_behind_ms
from app.core.events import (
    MAX_EVENT_BYTES,
    MAX_IMPRESSION_ITEMS,
    Action,
    Click,
    DirectEvent,
    Impression,
    Purchase,
    Seconds,
    ShownItem,
    View,
    Watch,
)
from app.core.field_errors import FieldError
from app.core.persons import Link
from app.core.segment_rules import ITEM_ID_NAMES, Rules, SegmentRule, fold
from app.ingest.segment_numbers import numbers_of
from app.ingest.segment_refunds import Refund, refunded_of
from app.ingest.segment_values import id_at, millis_of, value_at

MessageType = Literal["track", "identify", "page", "screen", "alias", "group"]
_Text = str | int | None
# An order repeats it in the context of each of its events.
_MAX_NAME: Final = 128


class SegmentMessage(Struct, rename="camel", kw_only=True, omit_defaults=True):
    """One call of a Segment library. Fields that are not named here are accepted and not read.

    `type` is needed in a batch only. `timestamp`, or `originalTimestamp` where it is there, is by the sender's clock.
    """

    type: MessageType | None = None
    message_id: _Text = None
    user_id: _Text = None
    anonymous_id: _Text = None
    previous_id: _Text = None
    event: str | None = None
    name: str | None = None
    properties: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    timestamp: _Text = None
    original_timestamp: _Text = None
    sent_at: _Text = None


class Mapped(Struct, kw_only=True):
    """The events of a message, or the ids that it links, or what it takes back; and what is wrong with it.
    `clock_behind_ms`: to be added to the sender's times.
    """

    message_type: MessageType | Literal["unknown"] = "unknown"
    name: str = ""
    known: bool = False
    events: Sequence[DirectEvent] = ()
    link: Link | None = None
    refund: Refund | None = None
    errors: Sequence[FieldError] = ()
    clock_behind_ms: int = 0

    @property
    def logged_name(self) -> str:
        """What somebody called a page may say who they are."""
        return self.name if self.message_type == "track" else ""


_decoder: Final = msgspec.json.Decoder(SegmentMessage)


def read_message(
    raw: msgspec.Raw | bytes, rules: Rules, *, received_ms: int, kind: MessageType | None = None, sent_at: _Text = None
) -> Mapped:
    """Translates one message. `kind` is its type where the path says it, `sent_at` what stands beside the batch.

    Raises `InvalidInput` for a message that cannot be read at all.
    """
    if len(raw) > MAX_EVENT_BYTES:
        raise InvalidInput(FieldError("$", f"{len(raw)} bytes; a message has at most {MAX_EVENT_BYTES}"))
    message = decode(_decoder, raw)
    found = kind or message.type
    if found is None:
        raise InvalidInput(FieldError("$.type", "expected one of track, identify, page, screen, alias, group"))
    name = _name(found, message)
    mapped = Mapped(message_type=found, name=name)
    if found in ("identify", "alias"):
        mapped.link = _link(found, message)
        mapped.known = mapped.link is not None
        return mapped
    rule = rules.get(fold(name))
    if rule is None or rule.event_type == "none":
        return mapped
    mapped.known = True
    errors: list[FieldError] = []
    try:
        if rule.event_type == "cancel":
            mapped.refund = _refund(message, name, rule, errors)
        else:
            mapped.events = list(_events(message, name, rule, errors))
        mapped.clock_behind_ms = _clock_behind_ms(message.sent_at or sent_at, received_ms)
    except InvalidInput as error:
        errors += error.field_errors
    mapped.errors = errors
    return mapped


def _link(kind: MessageType, message: SegmentMessage) -> Link | None:
    """The two ids that the message says are one person's. None where it names one, as of a user who was known."""
    user = id_at(message.user_id, "$.userId")
    if kind == "alias":
        other = id_at(message.previous_id, "$.previousId")
    else:
        other = id_at(message.anonymous_id, "$.anonymousId")
    return None if user is None or other is None or user == other else Link(other, user)


def _name(kind: MessageType, message: SegmentMessage) -> str:
    """The event's name; of a page or screen the one that Segment's own destinations give it."""
    if kind == "track":
        return message.event or ""
    if kind in ("page", "screen"):
        return f"Viewed {message.name} {kind.title()}" if message.name else f"Viewed {kind.title()}"
    return ""


def _events(message: SegmentMessage, name: str, rule: SegmentRule, errors: list[FieldError]) -> Iterator[DirectEvent]:
    """The events; what is wrong with one product goes to `errors`, and the others are events nevertheless."""
    properties = message.properties or {}
    shared = _about(message, name, properties)
    message_id = shared["context"]["message_id"]
    if rule.event_type == "purchase":
        shared["context"] |= _order_of(properties)

    def envelope(place: int) -> dict[str, Any]:
        return {"event_id": UNSET if message_id is None else event_id_of(message_id, place), **shared}

    items = list(_items(properties, rule))
    if not 1 <= len(items) <= MAX_IMPRESSION_ITEMS:
        path = f"$.properties.{rule.items}"
        raise InvalidInput(FieldError(path, f"expected 1 to {MAX_IMPRESSION_ITEMS} products, got {len(items)}"))
    found: list[tuple[int, str, Mapping[str, Any]]] = []
    for place, (path, item) in enumerate(items):
        try:
            found.append((place, _item_id(item, rule, path), item))
        except InvalidInput as error:
            errors += error.field_errors
    if rule.event_type == "impression":
        feed_id = id_at(properties.get("list_id"), "$.properties.list_id")
        if found:
            yield Impression(items=_shown(found, feed_id), **envelope(0))
        return
    for place, item_id, item in found:
        if rule.event_type == "watch":
            try:
                yield Watch(item_id=item_id, watch_time_sec=_seconds(item, rule), **envelope(place))
            except InvalidInput as error:
                errors += error.field_errors
        else:
            about = {"item_id": item_id, **numbers_of(item, properties), **envelope(place)}
            kind = _SINGLE.get(rule.event_type)
            yield Action(event_type=rule.event_type, **about) if kind is None else kind(**about)


def _about(message: SegmentMessage, name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """What all events of the message have in common."""
    user, session = _who(message, properties)
    visitor = id_at(message.anonymous_id, "$.anonymousId")
    message_id = id_at(message.message_id, "$.messageId")
    return {
        "user_id": user,
        "session_id": session,
        "request_id": id_at(properties.get("request_id"), "$.properties.request_id"),
        "ts_ms": _time(message),
        "anonymous_id": None if visitor == user else visitor,
        "context": {"message_id": message_id, "event": name[:_MAX_NAME]},
    }


def _order_of(properties: Mapping[str, Any]) -> dict[str, str]:
    """What a refund finds the purchase by. One that is not valid is left out: the purchase is about the product."""
    try:
        order_id = id_at(properties.get("order_id"), "")
    except InvalidInput:
        return {}
    return {} if order_id is None else {"order_id": order_id}


def _refund(message: SegmentMessage, name: str, rule: SegmentRule, errors: list[FieldError]) -> Refund:
    properties = message.properties or {}
    about = _about(message, name, properties)
    order_id = id_at(properties.get("order_id"), "$.properties.order_id")
    if order_id is None:
        raise InvalidInput(FieldError("$.properties.order_id", "expected the id of the order that is taken back"))
    products: list[tuple[str, str, int | None]] = []
    listed = isinstance(value_at(properties, rule.items), list)
    for path, item in _items(properties, rule) if listed else ():
        try:
            products.append((path, _item_id(item, rule, path), refunded_of(item)))
        except InvalidInput as error:
            errors += error.field_errors
    return Refund(order_id=order_id, products=products, whole=not listed, about=about)


_SINGLE: Final[Mapping[str, Callable[..., DirectEvent]]] = {"view": View, "click": Click, "purchase": Purchase}


def event_id_of(message_id: str, place: int) -> str:
    """The id of the event that product `place` of the message becomes, in every process and at every retry."""
    text = f"{place}\0{message_id}".encode("utf-8", "surrogatepass")
    return "segment-" + hashlib.blake2b(text, digest_size=16).hexdigest()


def _who(message: SegmentMessage, properties: Mapping[str, Any]) -> tuple[str, str]:
    user = id_at(message.user_id, "$.userId")
    visitor = id_at(message.anonymous_id, "$.anonymousId")
    known = user or visitor
    if known is None:
        raise InvalidInput(FieldError("$.userId", "expected a userId or an anonymousId"))
    context = message.context or {}
    for value, path in (
        (properties.get("session_id"), "$.properties.session_id"),
        (context.get("sessionId"), "$.context.sessionId"),
        (context.get("session_id"), "$.context.session_id"),
    ):
        if (session := id_at(value, path)) is not None:
            return known, session
    return known, visitor or known


def _items(properties: Mapping[str, Any], rule: SegmentRule) -> Iterator[tuple[str, Any]]:
    """Each product with its path; the properties themselves when they have no list of products."""
    products = value_at(properties, rule.items)
    if isinstance(products, list):
        yield from ((f"$.properties.{rule.items}[{index}]", product) for index, product in enumerate(products))
    elif rule.event_type != "impression":
        yield "$.properties", properties


def _item_id(item: Any, rule: SegmentRule, path: str) -> str:
    names = (rule.item_id,) if rule.item_id else ITEM_ID_NAMES
    for name in names:
        found = id_at(value_at(item, name), f"{path}.{name}")
        if found is not None:
            return found
    raise InvalidInput(FieldError(f"{path}.{names[0]}", "the product has no id"))


def _shown(items: Sequence[tuple[int, str, Mapping[str, Any]]], feed_id: str | None) -> list[ShownItem]:
    """Each item once. Segment's positions begin at 1 or at 0. Where one is missing, the order of the list counts."""
    once: dict[str, tuple[int, Any]] = {}
    for place, item_id, item in items:
        once.setdefault(item_id, (place, item.get("position")))
    given = [position for _, position in once.values() if type(position) is int and 0 <= position <= 100_000]
    if len(set(given)) == len(once):
        first = min(1, *given)
        return [
            ShownItem(item_id=item_id, position=position - first, feed_id=feed_id)
            for item_id, (_, position) in once.items()
        ]
    return [ShownItem(item_id=item_id, position=place, feed_id=feed_id) for item_id, (place, _) in once.items()]


def _seconds(item: Mapping[str, Any], rule: SegmentRule) -> float:
    try:
        return msgspec.convert(value_at(item, rule.watch_time_sec), Seconds)
    except msgspec.ValidationError as error:
        raise InvalidInput(FieldError(f"$.properties.{rule.watch_time_sec}", str(error))) from None


def _time(message: SegmentMessage) -> int | UnsetType:
    """When it happened by the sender's clock."""
    for value, path in ((message.original_timestamp, "$.originalTimestamp"), (message.timestamp, "$.timestamp")):
        if value:
            ts_ms = millis_of(value)
            if ts_ms is None:
                raise InvalidInput(FieldError(path, "expected a time such as 2026-11-26T10:15:28.123Z"))
            return ts_ms
    return UNSET


def _clock_behind_ms(sent_at: _Text, received_ms: int) -> int:
    """How far the sender's clock is behind ours; 0 where it does not say, or is right."""
    sent_ms = millis_of(sent_at) if sent_at else None
    return 0 if sent_ms is None else clock_behind_ms(sent_ms, received_ms)
