"""The Kafka messages: a submitted event with its id and times filled in, as JSON with a version (`v`).

The rule for changes: a new optional field keeps the version, because consumers ignore unknown fields. A change that an
older consumer would count wrongly gets a new version. Consumers store messages of an unknown version or type as dead
letters, which are replayed after the upgrade.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from app.core.decoding import InvalidInput, decode
from app.core.events import (
    MAX_AHEAD_MS,
    MAX_IMPRESSION_ITEMS,
    MESSAGE_VERSION,
    EventId,
    Id,
    Millis,
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


InteractionMessage = ViewMessage | ClickMessage | PurchaseMessage
Message = WatchMessage | ImpressionMessage | ViewMessage | ClickMessage | PurchaseMessage


class _Version(Struct):
    v: int


_message_decoder: Final[msgspec.json.Decoder[Message]] = msgspec.json.Decoder(Message)
_version_decoder: Final = msgspec.json.Decoder(_Version)


def decode_message(value: bytes | None) -> Message:
    """Decodes a Kafka message's value. Raises `InvalidInput` with the reason why it cannot be counted."""
    if value is None:
        raise InvalidInput(FieldError("$", "empty message (a tombstone); events are never deleted through Kafka"))
    version = decode(_version_decoder, value).v
    if version != MESSAGE_VERSION:
        raise InvalidInput(
            FieldError("$.v", f"message version {version}; this release reads version {MESSAGE_VERSION}")
        )
    return decode(_message_decoder, value)


def check_times(message: Message, dated_ms: int) -> None:
    """Refuses what would outweigh everything else: an event of the future counts more, the further ahead it is.

    Only clocks of one host are compared to the minute. `dated_ms`: the time of the Kafka message, below 0 where it has
    none. Raises `InvalidInput`.
    """
    if message.ts_ms > message.received_ms + MAX_AHEAD_MS:
        raise InvalidInput(FieldError("$.ts_ms", "more than 5 minutes after `received_ms`"))
    if 0 <= dated_ms < message.received_ms - MAX_CLOCK_AHEAD_MS:
        raise InvalidInput(FieldError("$.received_ms", "more than a day after the time of the Kafka message"))
