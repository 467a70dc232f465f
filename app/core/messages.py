"""The Kafka messages: a submitted event with its id and times filled in, as JSON with a version (`v`).

The rule for changes: a new optional field keeps the version, because consumers ignore unknown fields. A change that an
older consumer would count wrongly gets a new version. Consumers store messages of an unknown version or type as dead
letters, which are replayed after the upgrade.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from app.core.decoding import InvalidInput, decode
from app.core.event_times import MAX_AHEAD_MS, Millis
from app.core.event_types import FIXED, EventCounts
from app.core.events import (
    MAX_IMPRESSION_ITEMS,
    MESSAGE_VERSION,
    EventId,
    Id,
    Percent,
    Position,
    Seconds,
)
from app.core.field_errors import FieldError

MAX_CLOCK_AHEAD_MS: Final = 24 * 3600 * 1000
"""How far the clock that set `received_ms` may be ahead of the one that dated the message. Hosts differ by hours."""


class _Message(Struct, kw_only=True, tag_field="event_type"):
    """A message as the consumer reads it. Unknown fields are ignored."""

    v: int
    event_id: EventId
    user_id: Id
    session_id: Id
    ts_ms: Millis
    received_ms: Millis
    request_id: Id | None = None
    anonymous_id: Id | None = None


class WatchMessage(_Message, tag="watch"):
    item_id: Id
    watch_time_sec: Seconds
    percent_watched: Percent | None = None
    ended: bool | None = None


class ShownItemMessage(Struct):
    item_id: Id
    position: Position


class ImpressionMessage(_Message, tag="impression"):
    items: Annotated[list[ShownItemMessage], Meta(min_length=1, max_length=MAX_IMPRESSION_ITEMS)]


class ViewMessage(_Message, tag="view"):
    item_id: Id


class ClickMessage(_Message, tag="click"):
    item_id: Id


class PurchaseMessage(_Message, tag="purchase"):
    item_id: Id


class ActionMessage(_Message, tag=False):
    """An event of a type that says itself how it counts: as the type was when the event was accepted."""

    event_type: str
    item_id: Id
    counts: EventCounts


class CancelMessage(_Message, tag="cancel"):
    """Takes back the event `cancels`, of this type and time, as it counted. `watch_time_sec`: of a watch."""

    item_id: Id
    cancels: EventId
    cancelled_type: str
    cancelled_ms: Millis
    counts: EventCounts
    watch_time_sec: Seconds = 0.0


InteractionMessage = ViewMessage | ClickMessage | PurchaseMessage | ActionMessage
FixedMessage = WatchMessage | ImpressionMessage | ViewMessage | ClickMessage | PurchaseMessage | CancelMessage
Message = FixedMessage | ActionMessage


class _Head(Struct):
    v: int
    event_type: str | None = None


class _Named(Struct):
    user_id: Id


_named_decoder: Final = msgspec.json.Decoder(_Named)
_fixed_decoder: Final[msgspec.json.Decoder[FixedMessage]] = msgspec.json.Decoder(FixedMessage)
_action_decoder: Final = msgspec.json.Decoder(ActionMessage)
_head_decoder: Final = msgspec.json.Decoder(_Head)
_NO_ACTION: Final = frozenset((*FIXED, None))


def decode_message(value: bytes | None) -> Message:
    """Decodes a Kafka message's value. Raises `InvalidInput` with the reason why it cannot be counted."""
    if value is None:
        raise InvalidInput(FieldError("$", "empty message (a tombstone); events are never deleted through Kafka"))
    head = decode(_head_decoder, value, spellings=False)
    if head.v != MESSAGE_VERSION:
        raise InvalidInput(FieldError("$.v", f"message version {head.v}; this release reads version {MESSAGE_VERSION}"))
    if head.event_type in _NO_ACTION:
        return decode(_fixed_decoder, value, spellings=False)
    return decode(_action_decoder, value, spellings=False)


def named_user(value: bytes | None) -> str | None:
    """The user that a message names, also one that cannot be counted; None where that cannot be told."""
    try:
        return _named_decoder.decode(value or b"").user_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def check_times(message: Message, dated_ms: int) -> None:
    """Refuses what would outweigh everything else: an event of the future counts more, the further ahead it is.

    Only clocks of one host are compared to the minute. `dated_ms`: the time of the Kafka message, below 0 where it has
    none. Raises `InvalidInput`.
    """
    if message.ts_ms > message.received_ms + MAX_AHEAD_MS:
        raise InvalidInput(FieldError("$.ts_ms", "more than 5 minutes after `received_ms`"))
    if isinstance(message, CancelMessage) and message.cancelled_ms > message.received_ms + MAX_AHEAD_MS:
        raise InvalidInput(FieldError("$.cancelled_ms", "more than 5 minutes after `received_ms`"))
    if 0 <= dated_ms < message.received_ms - MAX_CLOCK_AHEAD_MS:
        raise InvalidInput(FieldError("$.received_ms", "more than a day after the time of the Kafka message"))
