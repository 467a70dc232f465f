"""Translates messages of Segment's protocol (segment.com/docs/connections/spec) into events of ours.

A message may become several events: an order is a purchase of each of its products. Their ids are made of the message's
id and the product's position, so that a message that is sent again becomes the same events. Nothing here reads a clock.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from app.core.decoding import InvalidInput, decode
from app.core.events import (
    MAX_EVENT_BYTES,
    MAX_IMPRESSION_ITEMS,
    Action,
    Click,
    DirectEvent,
    Id,
    Impression,
    Purchase,
    Seconds,
    ShownItem,
    View,
    Watch,
)
from app.core.field_errors import FieldError, field_error_of
from app.core.persons import Link
from app.core.segment_rules import ITEM_ID_NAMES, Rules, SegmentRule, fold
from app.ingest.segment_numbers import numbers_of

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
    """The events of a message, or the ids that it links, and what is wrong with it. `clock_behind_ms`: to be added to
    the sender's times.
    """

    message_type: MessageType | Literal["unknown"] = "unknown"
    name: str = ""
    known: bool = False
    events: Sequence[DirectEvent] = ()
    link: Link | None = None
    errors: Sequence[FieldError] = ()
    clock_behind_ms: int = 0


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
        mapped.events = list(_events(message, name, rule, errors))
        mapped.clock_behind_ms = _clock_behind_ms(message.sent_at or sent_at, received_ms)
    except InvalidInput as error:
        errors += error.field_errors
    mapped.errors = errors
    return mapped


def _link(kind: MessageType, message: SegmentMessage) -> Link | None:
    """The two ids that the message says are one person's. None where it names one, as of a user who was known."""
    user = _optional(message.user_id, "$.userId")
    if kind == "alias":
        other = _optional(message.previous_id, "$.previousId")
    else:
        other = _optional(message.anonymous_id, "$.anonymousId")
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
    user, session = _who(message, properties)
    visitor = _optional(message.anonymous_id, "$.anonymousId")
    message_id = _optional(message.message_id, "$.messageId")

    def envelope(place: int) -> dict[str, Any]:
        return {
            "user_id": user,
            "session_id": session,
            "event_id": UNSET if message_id is None else event_id_of(message_id, place),
            "request_id": request_id,
            "ts_ms": ts_ms,
            "anonymous_id": None if visitor == user else visitor,
            "context": {"message_id": message_id, "event": name[:_MAX_NAME]},
        }

    request_id = _optional(properties.get("request_id"), "$.properties.request_id")
    ts_ms = _time(message)
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
        feed_id = _optional(properties.get("list_id"), "$.properties.list_id")
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


_SINGLE: Final[Mapping[str, Callable[..., DirectEvent]]] = {"view": View, "click": Click, "purchase": Purchase}


def event_id_of(message_id: str, place: int) -> str:
    """The id of the event that product `place` of the message becomes, in every process and at every retry."""
    text = f"{place}\0{message_id}".encode("utf-8", "surrogatepass")
    return "segment-" + hashlib.blake2b(text, digest_size=16).hexdigest()


def _who(message: SegmentMessage, properties: Mapping[str, Any]) -> tuple[str, str]:
    user = _optional(message.user_id, "$.userId")
    visitor = _optional(message.anonymous_id, "$.anonymousId")
    known = user or visitor
    if known is None:
        raise InvalidInput(FieldError("$.userId", "expected a userId or an anonymousId"))
    context = message.context or {}
    for value, path in (
        (properties.get("session_id"), "$.properties.session_id"),
        (context.get("sessionId"), "$.context.sessionId"),
        (context.get("session_id"), "$.context.session_id"),
    ):
        if (session := _optional(value, path)) is not None:
            return known, session
    return known, visitor or known


def _items(properties: Mapping[str, Any], rule: SegmentRule) -> Iterator[tuple[str, Any]]:
    """Each product with its path; the properties themselves when they have no list of products."""
    products = _inside(properties, rule.items)
    if isinstance(products, list):
        yield from ((f"$.properties.{rule.items}[{index}]", product) for index, product in enumerate(products))
    elif rule.event_type != "impression":
        yield "$.properties", properties


def _item_id(item: Any, rule: SegmentRule, path: str) -> str:
    names = (rule.item_id,) if rule.item_id else ITEM_ID_NAMES
    for name in names:
        found = _optional(_inside(item, name), f"{path}.{name}")
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
        return msgspec.convert(_inside(item, rule.watch_time_sec), Seconds)
    except msgspec.ValidationError as error:
        raise InvalidInput(FieldError(f"$.properties.{rule.watch_time_sec}", str(error))) from None


def _inside(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _optional(value: Any, path: str) -> str | None:
    """An id as text. A number is its digits, as 17850.0 is 17850; null and empty text are none."""
    if value is None or value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    try:
        return msgspec.convert(value, Id)
    except msgspec.ValidationError as error:
        raise InvalidInput(FieldError(path, field_error_of(error, Id).message)) from None


def _time(message: SegmentMessage) -> int | UnsetType:
    """When it happened by the sender's clock."""
    for value, path in ((message.original_timestamp, "$.originalTimestamp"), (message.timestamp, "$.timestamp")):
        if value:
            ts_ms = _millis(value)
            if ts_ms is None:
                raise InvalidInput(FieldError(path, "expected a time such as 2026-11-26T10:15:28.123Z"))
            return ts_ms
    return UNSET


def _clock_behind_ms(sent_at: _Text, received_ms: int) -> int:
    """How far the sender's clock is behind ours, the way through the network included; 0 where it does not say."""
    sent_ms = _millis(sent_at) if sent_at else None
    return 0 if sent_ms is None else received_ms - sent_ms


def _millis(value: str | int) -> int | None:
    """Milliseconds since 1970 of ISO 8601, in UTC where no zone is given, or of such a number."""
    if isinstance(value, int):
        return value if 0 <= value < 2**53 else None
    try:
        moment = datetime.fromisoformat(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0, round(moment.timestamp() * 1000))
    except (ValueError, OverflowError):
        return None
