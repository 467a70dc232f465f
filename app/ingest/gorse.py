"""Translates Gorse's feedback (github.com/gorse-io/gorse, server/rest.go) into events. Nothing here reads a clock."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from app.core.all_faults import MAX_FAULTS
from app.core.decoding import InvalidInput, decode, decode_known, read_noting
from app.core.event_times import MAX_AHEAD_MS
from app.core.events import Click, DirectEvent, Id, Purchase, View, Watch
from app.core.field_errors import FieldError
from app.core.given_history import PastEvent
from app.core.gorse_types import GorseEventType, GorseTypes
from app.core.known_parts import beside, or_none

F = TypeVar("F", bound="GorseSessionFeedback")
V = TypeVar("V")

_Time = str | int | float | None
_MAX_SECONDS: Final = 604_800.0
_DATE_DIGITS: Final = 8
# Seconds reach 1e11 in the year 5138, milliseconds 1e14, and so on.
_UNITS: Final = ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000), (1e19, 1_000_000_000))
_YEAR_10000_MS: Final = 253_402_300_800_000


class GorseSessionFeedback(Struct, rename="pascal", kw_only=True):
    """Feedback of a type to an item, by somebody unknown. Fields that are not named here are accepted and not read."""

    feedback_type: Id
    item_id: Id
    timestamp: _Time = None


class GorseFeedback(GorseSessionFeedback, rename="pascal", kw_only=True):
    """The same, by a user."""

    user_id: Id
    value: float | None = 0.0


_SINGLE: Final[Mapping[GorseEventType, Callable[..., DirectEvent]]] = {
    "view": View,
    "click": Click,
    "purchase": Purchase,
}


_entries: Final = msgspec.json.Decoder(list[msgspec.Raw])
_entry: Final = msgspec.json.Decoder(GorseFeedback)
_session_entry: Final = msgspec.json.Decoder(GorseSessionFeedback)


def decode_feedback(body: bytes) -> list[msgspec.Raw]:
    """The entries of a body, each still to be decoded. Raises `InvalidInput` unless it is an array."""
    return decode(_entries, body)


def events_of(feedback: Sequence[msgspec.Raw], types: GorseTypes, *, now_ms: int) -> list[DirectEvent]:
    """An event each, but for those of types that become none. Raises `InvalidInput` that names all that is wrong."""
    return _each(feedback, _entry, lambda entry, faults: _event(entry, types, now_ms, faults))


def past_of(feedback: Sequence[msgspec.Raw], types: GorseTypes) -> list[PastEvent]:
    """What a session's feedback says about somebody, the latest first. A user is not read. Raises as `events_of`."""
    found = _each(feedback, _session_entry, lambda entry, faults: _past(entry, types, faults))
    return sorted(found, key=lambda event: -(event.ts_ms or 0))


def _each(
    feedback: Sequence[msgspec.Raw],
    decoder: msgspec.json.Decoder[F],
    make: Callable[[F, list[FieldError]], V | None],
) -> list[V]:
    """What is made of each entry, without those of which nothing is. `make` gets what is known of an entry, and the
    faults of the rest: it adds its own, and makes nothing where there are some.
    """
    found: list[V] = []
    errors: list[FieldError] = []
    for index, raw in enumerate(feedback):
        try:
            entry, wrong = decode_known(decoder, raw)
            faults = list(wrong)
            made = make(or_none(entry), faults)
            faults = beside(wrong, faults[len(wrong) :])
        except InvalidInput as error:
            made, faults = None, list(error.field_errors)
        errors += [FieldError(f"$[{index}]{fault.path.removeprefix('$')}", fault.message) for fault in faults]
        if made is not None:
            found.append(made)
    if errors:
        raise InvalidInput(*errors[:MAX_FAULTS])
    return found


def _past(entry: GorseSessionFeedback, types: GorseTypes, faults: list[FieldError]) -> PastEvent | None:
    kind, ts_ms = _kind(entry, types, faults), _entry_ms(entry, faults)
    return None if faults or kind == "none" else PastEvent(entry.item_id, kind, None if ts_ms is UNSET else ts_ms)


def _event(entry: GorseFeedback, types: GorseTypes, now_ms: int, faults: list[FieldError]) -> DirectEvent | None:
    kind, ts_ms = _kind(entry, types, faults), _entry_ms(entry, faults)
    if ts_ms is not UNSET and ts_ms > now_ms + MAX_AHEAD_MS:
        faults.append(FieldError("$.Timestamp", "more than 5 minutes ahead of the server"))
    seconds = entry.value or 0.0
    if kind == "watch" and not 0 <= seconds <= _MAX_SECONDS:
        faults.append(FieldError("$.Value", f"expected the seconds watched, 0 to {_MAX_SECONDS:.0f}"))
    if faults or kind == "none":
        return None
    envelope: dict[str, Any] = {
        "event_id": _event_id(entry),
        "user_id": entry.user_id,
        "session_id": entry.user_id,
        "item_id": entry.item_id,
        "ts_ms": ts_ms,
        "context": {"feedback_type": entry.feedback_type},
    }
    return Watch(watch_time_sec=seconds, **envelope) if kind == "watch" else _SINGLE[kind](**envelope)


def _kind(entry: GorseSessionFeedback, types: GorseTypes, faults: list[FieldError]) -> GorseEventType:
    kind = types.get((entry.feedback_type or "").lower())
    if kind is None:
        names = ", ".join(types)
        faults.append(
            FieldError(
                "$.FeedbackType",
                f"no event is known for {entry.feedback_type!r}; known are {names}, and the setting GORSE_FEEDBACK adds"
                " others",
            )
        )
    return kind or "none"


def _entry_ms(entry: GorseSessionFeedback, faults: list[FieldError]) -> int | UnsetType:
    ts_ms = read_noting(faults, time_ms, entry.timestamp, "$.Timestamp")
    return UNSET if ts_ms is None else ts_ms


def time_ms(value: _Time, path: str) -> int | UnsetType:
    """Milliseconds since the epoch of ISO 8601 (UTC where no zone is given), or of seconds, milliseconds, microseconds
    or nanoseconds, which their size tells apart; unset for no time. Raises `InvalidInput`.
    """
    if value is None or value == "":
        return UNSET
    try:
        if isinstance(value, str) and (not value.isdigit() or len(value) == _DATE_DIGITS):
            moment = datetime.fromisoformat(value.strip())
            if moment.year == 1:  # how Go writes that there is no time
                return UNSET
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        else:
            number = float(value)
            unit = next((unit for limit, unit in _UNITS if number < limit), 1)
            seconds = datetime.fromtimestamp(number / unit, UTC).timestamp()
    except (ValueError, OverflowError, OSError):
        raise InvalidInput(FieldError(path, "expected a time such as 2026-11-26T10:15:28Z")) from None
    if seconds < 0:
        raise InvalidInput(FieldError(path, "before 1970; leave out a time that is not known"))
    # UTC, or the rounding, may carry the last day into a year that no date has.
    if (at_ms := round(seconds * 1000)) >= _YEAR_10000_MS:
        raise InvalidInput(FieldError(path, "after the year 9999; leave out a time that is not known"))
    return at_ms


def _event_id(entry: GorseFeedback) -> str:
    """The same for feedback that is sent again, by whatever process."""
    text = "\0".join((entry.feedback_type, entry.user_id, entry.item_id, str(entry.timestamp or "")))
    return "gorse-" + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
