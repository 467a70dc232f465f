"""Reads submitted events: which struct one is tells its type, and a type of the application's own how it counts."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET

from app.core.decoding import InvalidInput, decode_known
from app.core.event_contexts import nul_faults
from app.core.event_times import OutsideTimes, clock_behind_ms, within_bounds
from app.core.event_types import FIXED, FIXED_OF_ITEMS, NO_OWN_TYPES, EventCounts, EventTypes
from app.core.events import (
    MESSAGE_VERSION,
    TOPIC_INTERACTIONS,
    Action,
    AnyEvent,
    Cancellation,
    FixedEvent,
    FixedInteraction,
    Impression,
    Interaction,
    Record,
    Watch,
    field_errors,
)
from app.core.field_errors import FieldError
from app.core.known_parts import beside
from app.core.messages import ActionMessage, CancelMessage, ImpressionMessage, Message, WatchMessage
from app.core.signals import signal
from app.core.spellings import LEAST_MILLIS, millis_of

_E = TypeVar("_E", bound=AnyEvent)

_watch: Final = msgspec.json.Decoder(Watch)
_impression: Final = msgspec.json.Decoder(Impression)
_interaction: Final[msgspec.json.Decoder[FixedInteraction]] = msgspec.json.Decoder(FixedInteraction)
_any: Final[msgspec.json.Decoder[FixedEvent]] = msgspec.json.Decoder(FixedEvent)
_action: Final = msgspec.json.Decoder(Action)
_encoder: Final = msgspec.json.Encoder(order="deterministic")


Further: TypeAlias = Callable[[AnyEvent], Sequence[FieldError]]
"""What else is wrong with an event that cannot be read, and of which only a part is known (see `known_part`)."""


def decode_watch(body: bytes, _: EventTypes = NO_OWN_TYPES, further: Further | None = None) -> Watch:
    return _whole(_watch, body, further)


def decode_impression(body: bytes, _: EventTypes = NO_OWN_TYPES, further: Further | None = None) -> Impression:
    return _whole(_impression, body, further)


def decode_interaction(body: bytes, types: EventTypes = NO_OWN_TYPES, further: Further | None = None) -> Interaction:
    return _decode(_interaction, body, types, further, FIXED_OF_ITEMS)


def decode_any(body: bytes | msgspec.Raw, types: EventTypes = NO_OWN_TYPES, further: Further | None = None) -> AnyEvent:
    return _decode(_any, body, types, further, FIXED)


def _decode(
    fixed: msgspec.json.Decoder[_E],
    body: bytes | msgspec.Raw,
    types: EventTypes,
    further: Further | None,
    names: Sequence[str],
) -> _E | Action:
    """Most events have a fixed type, and cost one decoding. `names`: of the fixed ones. Raises `InvalidInput`."""
    try:
        return fixed.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        name = _named_type(body)
    if name is None or name in names:
        return _whole(fixed, body, further)
    if name in FIXED:  # what is wrong with an event of that type is no matter here
        raise InvalidInput(types.unknown(name, names))
    return _whole(_action, body, further, () if types.get(name) else (types.unknown(name, names),))


def _whole(
    decoder: msgspec.json.Decoder[_E],
    body: bytes | msgspec.Raw,
    further: Further | None,
    wrong: Sequence[FieldError] = (),
) -> _E:
    """Raises `InvalidInput` with all faults; `wrong`: those that are known."""
    try:
        event, faults = decode_known(decoder, body)
    except InvalidInput as error:
        raise InvalidInput(*wrong, *error.field_errors, malformed=error.malformed) from None
    if found := [*wrong, *faults]:
        raise InvalidInput(*beside(found, further(event) if further else ()))
    return event


def known_faults(event: AnyEvent, *, types: EventTypes, now_ms: int, outside: OutsideTimes) -> Sequence[FieldError]:
    """As `Further`, for events that are received now; `outside` as in `events.accept`."""
    behind_ms = settle_times(event, now_ms)
    found = [*field_errors(event, now_ms=now_ms - behind_ms, any_time=outside != "refuse"), *nul_faults(event.context)]
    if isinstance(event, Action) and isinstance(event.rating, float | None):
        try:
            counts_of(event, types)
        except InvalidInput as error:
            found += error.field_errors
    return found


def _named_type(body: bytes | msgspec.Raw) -> str | None:
    """The type that an event names."""
    try:
        found: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    name = found.get("event_type") if isinstance(found, dict) else None
    return name if isinstance(name, str) else None


def settle_times(event: AnyEvent, now_ms: int) -> int:
    """Turns seconds into milliseconds and takes `sent_at` away. How far the device's clock is behind ours, in
    milliseconds; 0 where it does not say, or is right.
    """
    if event.ts_ms is not UNSET and event.ts_ms < LEAST_MILLIS:
        event.ts_ms = millis_of(event.ts_ms)
    if event.sent_at is UNSET:
        return 0
    behind_ms = clock_behind_ms(millis_of(event.sent_at), now_ms)
    event.sent_at = UNSET
    return behind_ms


def counts_of(event: AnyEvent, types: EventTypes) -> EventCounts | None:
    """How an event counts by its type; None: as the service counts it. Raises `InvalidInput` for a type that is gone
    since the event was read, and for a rating that the type cannot take.
    """
    if not isinstance(event, Action):
        return None
    known = types.get(event.event_type)
    if known is None:
        raise InvalidInput(types.unknown(event.event_type))
    try:
        return known.counts(event.rating)
    except ValueError as error:
        raise InvalidInput(FieldError("$.rating", str(error))) from None


def accept_cancellation(
    event: Cancellation,
    cancelled: Message | None,
    *,
    now_ms: int,
    behind_ms: int = 0,
    outside: OutsideTimes = "refuse",
    traceparent: str | None = None,
    tracestate: str | None = None,
) -> Record:
    """`cancelled`: the stored event that it takes back; None: there is none. Raises `InvalidInput`."""
    faults = [*field_errors(event, now_ms=now_ms - behind_ms, any_time=outside != "refuse"), *nul_faults(event.context)]
    if cancelled is None or cancelled.user_id != event.user_id:
        unknown = "no stored event of this user has this id; send it again after that event was accepted"
        raise InvalidInput(*faults, FieldError("$.cancels", unknown))
    if isinstance(cancelled, ImpressionMessage | CancelMessage):
        what = "an impression" if isinstance(cancelled, ImpressionMessage) else "a cancellation"
        raise InvalidInput(*faults, FieldError("$.cancels", f"the event is {what}, which cannot be taken back"))
    if faults:
        raise InvalidInput(*faults)
    event.event_id = event_id = cancellation_id(event.cancels)
    ts_ms = now_ms if event.ts_ms is UNSET else within_bounds(event.ts_ms + behind_ms, now_ms, outside)
    event.ts_ms = ts_ms
    if isinstance(cancelled, ActionMessage):
        name, counts = cancelled.event_type, cancelled.counts
    else:
        kind, weight = signal(cancelled)
        name, counts = str(type(cancelled).__struct_config__.tag), EventCounts(kind, weight)
    about = {
        "item_id": cancelled.item_id,
        "cancelled_type": name,
        "cancelled_ms": cancelled.ts_ms,
        "counts": counts,
        "watch_time_sec": cancelled.watch_time_sec if isinstance(cancelled, WatchMessage) else 0.0,
    }
    sent, added = _encoder.encode(event)[1:-1].decode(), _encoder.encode(about)[1:].decode()
    return Record(
        event_id=event_id,
        event_type="cancel",
        user_id=event.user_id,
        session_id=event.session_id,
        request_id=event.request_id,
        ts_ms=ts_ms,
        content_hash=hashlib.blake2b(event.cancels.encode(), digest_size=16).digest(),
        payload=f'{{"v":{MESSAGE_VERSION},"received_ms":{now_ms},{sent},{added}',
        topic=TOPIC_INTERACTIONS,
        traceparent=traceparent,
        tracestate=tracestate,
    )


def cancellation_id(event_id: str) -> str:
    """The id of the event that takes this one back: the same whenever, and by whomever, it is sent."""
    return "cancel-" + hashlib.blake2b(event_id.encode(), digest_size=16).hexdigest()
