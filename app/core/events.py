"""What a client may send, what is stored of it, and what travels through Kafka.

Three shapes of the same event:

* the *submitted* structs (`Watch`, `Impression`, `View`, …) are the HTTP contract: strict, unknown fields refused,
  event id and time optional;
* a `Record` is one accepted event on its way to Postgres: `events` and `event_outbox` in one row each;
* the record's `payload` is the Kafka message that `app.core.messages` reads.
"""

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from app.core.decoding import InvalidInput
from app.core.event_contexts import depth_faults, nul_faults
from app.core.event_times import OutsideTimes, SentByClock, SentTime, time_errors, within_bounds
from app.core.event_types import EventCounts, Rating, TypeName
from app.core.field_errors import FieldError
from app.core.known_parts import known_items
from app.core.spellings import MARK

# A lookahead and not `^[^…]+$`: `$` would let a trailing newline pass, and ECMAScript patterns (OpenAPI) have no `\Z`.
PRINTABLE: Final = r"^(?![\s\S]*[\u0000-\u001f\u007f-\u009f\u2028\u2029])"

Id = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=PRINTABLE,
        description="1 to 128 printable characters",
        extra_json_schema={MARK: "id"},
    ),
]
EventId = Annotated[
    str,
    Meta(
        min_length=8,
        max_length=64,
        pattern=PRINTABLE,
        description="8 to 64 printable characters",
        extra_json_schema={MARK: "event_id"},
    ),
]
AnonymousId = Annotated[Id, Meta(description="the user's id before the log-in: its history is joined into the user's")]
RequestId = Annotated[Id, Meta(description="the `request_id` of the recommendations that led here")]
Seconds = Annotated[float, Meta(ge=0.0, le=604_800.0, description="seconds")]
Percent = Annotated[float, Meta(ge=0.0, le=100.0, description="percent of the item")]
Speed = Annotated[float, Meta(gt=0.0, le=16.0, description="1 is the normal speed")]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Quantity = Annotated[int, Meta(ge=1, le=1_000_000, description="how many of the item")]
Value = Annotated[float, Meta(ge=0.0, le=1e12, description="what all of it was worth")]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}(?![\s\S])", description="of the value: three letters of ISO 4217")]
Rated = Annotated[Rating, Meta(description="what the user gave the item")]
Position = Annotated[int, Meta(ge=0, le=100_000, description="0 is the first place of the list")]
MESSAGE_VERSION: Final = 1
MAX_EVENT_BYTES: Final = 32 * 1024
MAX_BODY_BYTES: Final = 1024 * 1024
MAX_BATCH_EVENTS: Final = 1_000
MAX_IMPRESSION_ITEMS: Final = 500
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
TOPIC_WATCHES: Final = "recsys.watches.v1"
TOPIC_IMPRESSIONS: Final = "recsys.impressions.v1"
TOPIC_INTERACTIONS: Final = "recsys.interactions.v1"
TOPICS: Final = (TOPIC_WATCHES, TOPIC_IMPRESSIONS, TOPIC_INTERACTIONS)


class Submitted(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="event_type"):
    """What every event has: who, in which session, when."""

    topic: ClassVar[str] = TOPIC_INTERACTIONS

    user_id: Id
    session_id: Id
    event_id: EventId | UnsetType = UNSET
    request_id: RequestId | None = None
    ts_ms: SentTime | UnsetType = UNSET
    sent_at: SentByClock | UnsetType = UNSET
    context: dict[str, Any] | None = None
    anonymous_id: AnonymousId | None = None


class Watch(Submitted, tag="watch"):
    """A user watched (some of) an item."""

    topic: ClassVar[str] = TOPIC_WATCHES

    item_id: Id
    watch_time_sec: Seconds
    percent_watched: Percent | None = None
    ended: bool | None = None
    playback_speed: Speed | None = None
    rebuffer_count: Count | None = None


class ShownItem(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One item of an impression, and the position it was shown at."""

    item_id: Id
    position: Position
    feed_id: Id | None = None
    slot: Id | None = None


class Impression(Submitted, tag="impression"):
    """A list of items was shown to a user."""

    topic: ClassVar[str] = TOPIC_IMPRESSIONS

    items: Annotated[list[ShownItem], Meta(min_length=1, max_length=MAX_IMPRESSION_ITEMS)]


class ItemEvent(Submitted, kw_only=True):
    """What a user did with one item, and the numbers that go with it."""

    item_id: Id
    value: Value | None = None
    currency: Currency | None = None
    quantity: Quantity | None = None
    rating: Rated | None = None


class View(ItemEvent, tag="view"):
    """A user opened an item's page."""


class Click(ItemEvent, tag="click"):
    """A user clicked an item in a list."""


class Purchase(ItemEvent, tag="purchase"):
    """A user bought an item."""


class Action(ItemEvent, kw_only=True, tag=False):
    """A user did something else with an item: put it into the cart, liked, rated or hid it, or what the application
    has made a type for.
    """

    event_type: TypeName


class Cancellation(Submitted, tag="cancel"):
    """Takes an event back: an order that was cancelled or returned, a like that was withdrawn. `cancels` is the
    `event_id` of an event of the same user, or of an id that is joined into the user's. An event is taken back once:
    the cancellation's own `event_id` is made from it, whatever is sent.
    """

    cancels: EventId


FixedInteraction = View | Click | Purchase | Cancellation
Interaction = FixedInteraction | Action
FixedEvent = Watch | Impression | FixedInteraction
DirectEvent = Watch | Impression | View | Click | Purchase | Action
"""Says all of itself: a cancellation is stored with what it takes back."""
AnyEvent = DirectEvent | Cancellation


class Record(Struct, frozen=True):
    """An accepted event as Postgres stores it; `payload` is the Kafka message's value."""

    event_id: str
    event_type: str
    user_id: str
    session_id: str
    request_id: str | None
    ts_ms: int
    content_hash: bytes
    payload: str
    topic: str
    traceparent: str | None = None
    tracestate: str | None = None


_encoder: Final = msgspec.json.Encoder(order="deterministic")


def accept(
    event: DirectEvent,
    *,
    counts: EventCounts | None = None,
    now_ms: int,
    entropy: bytes,
    traceparent: str | None = None,
    tracestate: str | None = None,
    any_time: bool = False,
    clock_behind_ms: int = 0,
    outside: OutsideTimes = "refuse",
) -> Record:
    """Checks what a type can't say, and fills in what the client left out.

    The content hash covers what the client sent apart from the event id, so a retry without `ts_ms` is the same
    event although the server's clock went on. `entropy` (10 bytes) makes the id of an event that came without one.
    `any_time` is for histories: it lifts the bounds on `ts_ms`. `clock_behind_ms`: how far the client's clock is behind
    ours, which is added to its `ts_ms`. A retry is the same event although it measures this anew. `outside`: what
    becomes of a time outside of the bounds. `counts`: of an `Action`, by its type.
    Raises `InvalidInput`.
    """
    check(event, now_ms=now_ms - clock_behind_ms, any_time=any_time or outside != "refuse")

    event_id = event.event_id
    event.event_id = UNSET
    content_hash = hashlib.blake2b(_encoder.encode(event), digest_size=16).digest()
    event.event_id = event_id = uuid7(now_ms, entropy) if event_id is UNSET else event_id
    ts_ms = now_ms if event.ts_ms is UNSET else event.ts_ms + clock_behind_ms
    if outside != "refuse":
        ts_ms = within_bounds(ts_ms, now_ms, outside)
    event.ts_ms = ts_ms
    payload = f'{{"v":{MESSAGE_VERSION},"received_ms":{now_ms},{_encoder.encode(event)[1:].decode()}'
    if counts is not None:
        payload = f'{payload[:-1]},"counts":{_encoder.encode(counts).decode()}}}'
    if "\\u0000" in payload and (found := nul_faults(event.context)):
        raise InvalidInput(*found)
    return Record(
        event_id=event_id,
        event_type=event.event_type if isinstance(event, Action) else str(type(event).__struct_config__.tag),
        user_id=event.user_id,
        session_id=event.session_id,
        request_id=event.request_id,
        ts_ms=ts_ms,
        content_hash=content_hash,
        payload=payload,
        topic=event.topic,
        traceparent=traceparent,
        tracestate=tracestate,
    )


def check(event: AnyEvent, *, now_ms: int, any_time: bool = False) -> None:
    """Raises `InvalidInput` for what a type can't say."""
    if found := field_errors(event, now_ms=now_ms, any_time=any_time):
        raise InvalidInput(*found, *nul_faults(event.context))


def field_errors(event: AnyEvent, *, now_ms: int, any_time: bool = False) -> list[FieldError]:
    """What is wrong with an event, or with what is known of it (see `known_part`), besides its types."""
    found = [] if any_time else time_errors(event.ts_ms, now_ms)
    found += depth_faults(event.context)
    if isinstance(event, Impression):
        found += _repeated(known_items(event.items))
    if isinstance(event, ItemEvent) and event.currency is not None and event.value is None:
        found.append(FieldError("$.currency", "a currency needs a `value`"))
    return found


def uuid7(now_ms: int, entropy: bytes) -> str:
    """A UUID of version 7 (RFC 9562, section 5.7): 48 bits of time, then 74 of chance, from 10 bytes of entropy."""
    # Four times as fast as by way of `uuid.UUID`: the digits are put together as text.
    time, chance = f"{now_ms:012x}", entropy.hex()
    return f"{time[:8]}-{time[8:]}-7{chance[1:4]}-{_VARIANT[chance[4]]}{chance[5:8]}-{chance[8:]}"


def _repeated(items: Sequence[ShownItem | UnsetType]) -> list[FieldError]:
    field_errors = []
    positions: dict[int, int] = {}
    ids: dict[str, int] = {}
    for index, item in enumerate(items):
        if item is UNSET:
            continue
        first = positions.setdefault(item.position, index)
        if first != index:
            field_errors.append(
                FieldError(f"$.items[{index}].position", f"position {item.position} is taken by $.items[{first}]")
            )
        first = ids.setdefault(item.item_id, index)
        if first != index:
            field_errors.append(
                FieldError(f"$.items[{index}].item_id", f"the item is shown at $.items[{first}] already")
            )
    return field_errors
