"""Which timestamps Postgres holds. Its driver takes the first and the last datetime for -infinity and infinity, and
reads these as datetimes without a time zone.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta

_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WRITTEN: Final = Annotated[datetime, Meta(tz=True)]
_MILLISECOND: Final = timedelta(milliseconds=1)


def is_finite(timestamp: datetime) -> bool:
    """False for an infinite timestamp, and for one that leaves the years 1 to 9999 in UTC. It has a time zone."""
    try:
        return _FIRST < timestamp.astimezone(UTC) < _LAST
    except OverflowError:
        return False


def with_zone(timestamp: datetime | None) -> datetime | None:
    """A timestamp of a row, which somebody may have set to infinity by hand."""
    return timestamp if timestamp is None or timestamp.tzinfo is not None else timestamp.replace(tzinfo=UTC)


def to_ms(timestamp: datetime) -> int:
    """Milliseconds since 1970. The timestamp has a time zone."""
    return (timestamp - _EPOCH) // _MILLISECOND


def in_order(begin: datetime | None, end: datetime | None) -> bool:
    """Whether the end is after the begin; None has no bound."""
    begin, end = with_zone(begin), with_zone(end)
    return begin is None or end is None or begin < end


def read_ms(text: str) -> int | None:
    """A time (RFC 3339, with an offset from UTC) or a day (its begin in UTC), in milliseconds since 1970; None for text
    that is neither, or a time that Postgres cannot hold.
    """
    try:
        if len(text) == len("2026-12-24"):
            day = msgspec.convert(text, date)
            found = datetime(day.year, day.month, day.day, tzinfo=UTC)
        else:
            found = msgspec.convert(text, _WRITTEN)
    except msgspec.ValidationError:
        return None
    return to_ms(found) if is_finite(found) else None


def write_ms(at_ms: int) -> str:
    """The time in RFC 3339, in UTC."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
