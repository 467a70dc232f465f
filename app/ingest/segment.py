"""Translates messages of Segment's protocol (segment.com/docs/connections/spec) into events of ours.

A message may become several events: an order is a purchase of each of its products. Their ids are made of the message's
id and the product's position, so that a message that is sent again becomes the same events. Nothing here reads a clock.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from app.core.decoding import InvalidInput, decode_known, read_noting
from app.core.event_times import clock_behind_ms
from app.core.events import MAX_EVENT_BYTES, MAX_IMPRESSION_ITEMS, DirectEvent, Impression
from app.core.field_errors import FieldError
from app.core.known_parts import beside, or_none
from app.core.persons import Link
from app.core.segment_rules import Rules, SegmentRule, fold
from app.ingest.segment_products import ProductFaults, events_of, item_id_of, items_of, shown_of
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
    """The events of a message, or the ids that it links, or what it takes back; and what is wrong with it. `products`:
    the path of each event's product. `lost`: how many products became nothing, or 1 for a whole message.
    `clock_behind_ms`: to be added to the sender's times, of which `time_path` is the path.
    """

    message_type: MessageType | Literal["unknown"] = "unknown"
    name: str = ""
    known: bool = False
    events: Sequence[DirectEvent] = ()
    products: Sequence[str] = ()
    link: Link | None = None
    refund: Refund | None = None
    errors: Sequence[FieldError] = ()
    lost: int = 0
    clock_behind_ms: int = 0
    time_path: str = "$.timestamp"

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
    message, faults = decode_known(_decoder, raw)
    if faults:
        message = or_none(message)
    found = kind or message.type
    if found is None:
        missing = FieldError("$.type", "expected one of track, identify, page, screen, alias, group")
        raise InvalidInput(*beside(faults, [missing]))
    mapped = Mapped(message_type=found, name=_name(found, message))
    wrong: list[FieldError] = []
    products: ProductFaults = {}
    rule = rules.get(fold(mapped.name))
    if found in ("identify", "alias"):
        mapped.link = _link(found, message, wrong)
        mapped.known = mapped.link is not None
    elif rule is not None and rule.event_type != "none":
        mapped.known = True
        mapped.time_path = "$.originalTimestamp" if message.original_timestamp else "$.timestamp"
        mapped.clock_behind_ms = _clock_behind_ms(message.sent_at or sent_at, received_ms)
        if rule.event_type == "cancel":
            mapped.refund = _refund(message, mapped.name, rule, wrong, products)
        else:
            made = _events(message, mapped.name, rule, wrong, products)
            mapped.products, mapped.events = [path for path, _ in made], [event for _, event in made]
    whole = beside(faults, wrong)
    mapped.errors = beside(whole, (fault for found in products.values() for fault in found))
    mapped.lost = 1 if whole else len(products)
    if whole:
        mapped.known, mapped.events, mapped.products, mapped.link, mapped.refund = True, (), (), None, None
    return mapped


def _link(kind: MessageType, message: SegmentMessage, wrong: list[FieldError]) -> Link | None:
    """The two ids that the message says are one person's. None where it names one, as of a user who was known."""
    user = read_noting(wrong, id_at, message.user_id, "$.userId")
    if kind == "alias":
        other = read_noting(wrong, id_at, message.previous_id, "$.previousId")
    else:
        other = read_noting(wrong, id_at, message.anonymous_id, "$.anonymousId")
    return None if user is None or other is None or user == other else Link(other, user)


def _name(kind: MessageType, message: SegmentMessage) -> str:
    """The event's name; of a page or screen the one that Segment's own destinations give it."""
    if kind == "track":
        return message.event or ""
    if kind in ("page", "screen"):
        return f"Viewed {message.name} {kind.title()}" if message.name else f"Viewed {kind.title()}"
    return ""


def _events(
    message: SegmentMessage, name: str, rule: SegmentRule, wrong: list[FieldError], products: ProductFaults
) -> Sequence[tuple[str, DirectEvent]]:
    """The events; what is wrong with one product costs that product alone."""
    properties = message.properties or {}
    shared = _about(message, name, properties, wrong)
    message_id = shared["context"]["message_id"]
    if rule.event_type == "purchase":
        shared["context"] |= _order_of(properties)

    def envelope(place: int) -> dict[str, Any]:
        return {"event_id": UNSET if message_id is None else event_id_of(message_id, place), **shared}

    items = list(items_of(properties, rule))
    if not 1 <= len(items) <= MAX_IMPRESSION_ITEMS:
        count = f"expected 1 to {MAX_IMPRESSION_ITEMS} products, got {len(items)}"
        wrong.append(FieldError(f"$.properties.{rule.items}", count))
        return ()
    if rule.event_type != "impression":
        return list(events_of(items, properties, rule, envelope, products))
    shown = shown_of(items, properties, rule, wrong, products)
    return [("$.properties", Impression(items=shown, **envelope(0)))] if shown else []


def _about(
    message: SegmentMessage, name: str, properties: Mapping[str, Any], wrong: list[FieldError]
) -> dict[str, Any]:
    """What all events of the message have in common."""
    user, session = _who(message, properties, wrong)
    visitor = read_noting([], id_at, message.anonymous_id, "$.anonymousId")
    message_id = read_noting(wrong, id_at, message.message_id, "$.messageId")
    return {
        "user_id": user,
        "session_id": session,
        "request_id": read_noting(wrong, id_at, properties.get("request_id"), "$.properties.request_id"),
        "ts_ms": _time(message, wrong),
        "anonymous_id": None if visitor == user else visitor,
        "context": {"message_id": message_id, "event": name[:_MAX_NAME]},
    }


def _order_of(properties: Mapping[str, Any]) -> dict[str, str]:
    """What a refund finds the purchase by. One that is not valid is left out: the purchase is about the product."""
    order_id = read_noting([], id_at, properties.get("order_id"), "")
    return {} if order_id is None else {"order_id": order_id}


def _refund(
    message: SegmentMessage, name: str, rule: SegmentRule, wrong: list[FieldError], products: ProductFaults
) -> Refund:
    properties = message.properties or {}
    about = _about(message, name, properties, wrong)
    known = len(wrong)
    order_id = read_noting(wrong, id_at, properties.get("order_id"), "$.properties.order_id")
    if order_id is None and len(wrong) == known:
        wrong.append(FieldError("$.properties.order_id", "expected the id of the order that is taken back"))
    named: list[tuple[str, str, int | None]] = []
    listed = isinstance(value_at(properties, rule.items), list)
    for path, item in items_of(properties, rule) if listed else ():
        faults: list[FieldError] = []
        item_id = read_noting(faults, item_id_of, item, rule, path)
        if item_id is None:
            products[path] = faults
        else:
            named.append((path, item_id, refunded_of(item)))
    return Refund(order_id=order_id or "", products=named, whole=not listed, about=about)


def event_id_of(message_id: str, place: int) -> str:
    """The id of the event that product `place` of the message becomes, in every process and at every retry."""
    text = f"{place}\0{message_id}".encode("utf-8", "surrogatepass")
    return "segment-" + hashlib.blake2b(text, digest_size=16).hexdigest()


def _who(
    message: SegmentMessage, properties: Mapping[str, Any], wrong: list[FieldError]
) -> tuple[str | None, str | None]:
    """The user and the session."""
    known = len(wrong)
    user = read_noting(wrong, id_at, message.user_id, "$.userId")
    visitor = read_noting(wrong, id_at, message.anonymous_id, "$.anonymousId")
    if user is None and visitor is None and len(wrong) == known:
        wrong.append(FieldError("$.userId", "expected a userId or an anonymousId"))
    context = message.context or {}
    for value, path in (
        (properties.get("session_id"), "$.properties.session_id"),
        (context.get("sessionId"), "$.context.sessionId"),
        (context.get("session_id"), "$.context.session_id"),
    ):
        if (session := read_noting(wrong, id_at, value, path)) is not None:
            return user or visitor, session
    return user or visitor, visitor or user


def _time(message: SegmentMessage, wrong: list[FieldError]) -> int | UnsetType:
    """When it happened by the sender's clock."""
    for value, path in ((message.original_timestamp, "$.originalTimestamp"), (message.timestamp, "$.timestamp")):
        if value:
            ts_ms = millis_of(value)
            if ts_ms is None:
                wrong.append(FieldError(path, "expected a time such as 2026-11-26T10:15:28.123Z"))
                return UNSET
            return ts_ms
    return UNSET


def _clock_behind_ms(sent_at: _Text, received_ms: int) -> int:
    """How far the sender's clock is behind ours; 0 where it does not say, or is right."""
    sent_ms = millis_of(sent_at) if sent_at else None
    return 0 if sent_ms is None else clock_behind_ms(sent_ms, received_ms)
