"""Translates Gorse's feedback (github.com/gorse-io/gorse, server/rest.go) into events. Nothing here reads a clock."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType

from app.core.decoding import InvalidInput
from app.core.event_times import MAX_AHEAD_MS
from app.core.events import Click, DirectEvent, Id, Purchase, View, Watch
from app.core.field_errors import FieldError
from app.core.given_history import PastEvent
from app.core.gorse_types import GorseEventType, GorseTypes

_Time = str | int | float | None
_MAX_SECONDS: Final = 604_800.0


class GorseFeedback(Struct, rename="pascal", kw_only=True):
    """A user's feedback of a type to an item. Fields that are not named here are accepted and not read."""

    feedback_type: Id
    user_id: Id
    item_id: Id
    value: float | None = 0.0
    timestamp: _Time = None


_SINGLE: Final[Mapping[GorseEventType, Callable[..., DirectEvent]]] = {
    "view": View,
    "click": Click,
    "purchase": Purchase,
}


def events_of(feedback: Sequence[GorseFeedback], types: GorseTypes, *, now_ms: int) -> list[DirectEvent]:
    """An event each, but for those of types that become none. Raises `InvalidInput` that names all that is wrong."""
    found: list[DirectEvent] = []
    errors: list[FieldError] = []
    for index, entry in enumerate(feedback):
        try:
            kind = _kind(entry, types, f"$[{index}]")
            ts_ms = time_ms(entry.timestamp, f"$[{index}].Timestamp")
            if ts_ms is not UNSET and ts_ms > now_ms + MAX_AHEAD_MS:
                raise InvalidInput(FieldError(f"$[{index}].Timestamp", "more than 5 minutes ahead of the server"))
            if kind != "none":
                found.append(_event(entry, kind, ts_ms, f"$[{index}]"))
        except InvalidInput as error:
            errors += error.field_errors
    if errors:
        raise InvalidInput(*errors[:100])
    return found


def past_of(feedback: Sequence[GorseFeedback], types: GorseTypes) -> list[PastEvent]:
    """What a session's feedback says about somebody, the latest first. Raises `InvalidInput`."""
    found: list[tuple[float, PastEvent]] = []
    for index, entry in enumerate(feedback):
        kind = _kind(entry, types, f"$[{index}]")
        ts_ms = time_ms(entry.timestamp, f"$[{index}].Timestamp")
        if kind != "none":
            at_ms = None if ts_ms is UNSET else ts_ms
            found.append((0 if at_ms is None else at_ms, PastEvent(entry.item_id, kind, at_ms)))
    return [event for _, event in sorted(found, key=lambda one: -one[0])]


def time_ms(value: _Time, path: str) -> int | UnsetType:
    """Milliseconds since the epoch of ISO 8601 (UTC where no zone is given) or of seconds; unset for no time.

    Raises `InvalidInput`.
    """
    if value is None or value == "":
        return UNSET
    try:
        if isinstance(value, str) and not value.isdigit():
            moment = datetime.fromisoformat(value.strip())
            if moment.year == 1:  # how Go writes that there is no time
                return UNSET
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        else:
            seconds = datetime.fromtimestamp(float(value), UTC).timestamp()
    except (ValueError, OverflowError, OSError):
        raise InvalidInput(FieldError(path, "expected a time such as 2026-11-26T10:15:28Z")) from None
    if seconds < 0:
        raise InvalidInput(FieldError(path, "before 1970; leave out a time that is not known"))
    return round(seconds * 1000)


def _kind(entry: GorseFeedback, types: GorseTypes, path: str) -> GorseEventType:
    kind = types.get(entry.feedback_type.lower())
    if kind is None:
        raise InvalidInput(
            FieldError(
                f"{path}.FeedbackType",
                f"no event is known for {entry.feedback_type!r}; the setting GORSE_FEEDBACK says which it becomes",
            )
        )
    return kind


def _event(entry: GorseFeedback, kind: GorseEventType, ts_ms: int | UnsetType, path: str) -> DirectEvent:
    envelope: dict[str, Any] = {
        "event_id": _event_id(entry),
        "user_id": entry.user_id,
        "session_id": entry.user_id,
        "item_id": entry.item_id,
        "ts_ms": ts_ms,
        "context": {"feedback_type": entry.feedback_type},
    }
    if kind != "watch":
        return _SINGLE[kind](**envelope)
    seconds = entry.value or 0.0
    if not 0 <= seconds <= _MAX_SECONDS:
        raise InvalidInput(FieldError(f"{path}.Value", f"expected the seconds watched, 0 to {_MAX_SECONDS:.0f}"))
    return Watch(watch_time_sec=seconds, **envelope)


def _event_id(entry: GorseFeedback) -> str:
    """The same for feedback that is sent again, by whatever process."""
    text = "\0".join((entry.feedback_type, entry.user_id, entry.item_id, str(entry.timestamp or "")))
    return "gorse-" + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
