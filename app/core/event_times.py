"""The times that events have: how they are written, and what becomes of one that cannot be right."""

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, UnsetType

from app.core.field_errors import FieldError
from app.core.spellings import MARK

MAX_AGE_MS: Final = 7 * 24 * 3600 * 1000
MAX_AHEAD_MS: Final = 5 * 60 * 1000
# A clock that is off by less makes no difference to what is recommended.
_MAX_CLOCK_ERROR_MS: Final = 30_000

Millis = Annotated[int, Meta(ge=0, lt=2**53, description="milliseconds since 1970-01-01 UTC")]
SentTime = Annotated[
    Millis,
    Meta(
        description="milliseconds or seconds since 1970-01-01 UTC, or ISO 8601 with a zone",
        extra_json_schema={MARK: "time"},
    ),
]
SentByClock = Annotated[
    SentTime,
    Meta(description="when the device sent this, by its own clock, which is corrected by it; set anew at each try"),
]

OutsideTimes = Literal["refuse", "clamp", "keep"]
"""What becomes of an event that is more than 7 days old or 5 minutes ahead."""


def clock_behind_ms(sent_ms: int, now_ms: int) -> int:
    """How far another clock is behind ours, the way through the network included; 0 for a clock that is right."""
    behind_ms = now_ms - sent_ms
    return 0 if abs(behind_ms) < _MAX_CLOCK_ERROR_MS else behind_ms


def side_of(ts_ms: int | UnsetType, now_ms: int) -> Literal["late", "early"] | None:
    """On which side of the bounds a time is."""
    if ts_ms is UNSET:
        return None
    if ts_ms < now_ms - MAX_AGE_MS:
        return "late"
    return "early" if ts_ms > now_ms + MAX_AHEAD_MS else None


def within_bounds(ts_ms: int, now_ms: int, outside: OutsideTimes) -> int:
    """A time ahead becomes now, or it would outweigh all others for long. A late one is as old as may be, or kept."""
    side = side_of(ts_ms, now_ms)
    if side is None or outside == "refuse":
        return ts_ms
    if side == "early":
        return now_ms
    return now_ms - MAX_AGE_MS if outside == "clamp" else max(0, ts_ms)


def time_errors(ts_ms: int | UnsetType, now_ms: int) -> list[FieldError]:
    match side_of(ts_ms, now_ms):
        case "late":
            return [FieldError("$.ts_ms", "more than 7 days ago; histories are loaded with `reco import`")]
        case "early":
            return [
                FieldError(
                    "$.ts_ms", "more than 5 minutes ahead of the server; check the unit, and the clock (`sent_at`)"
                )
            ]
    return []
