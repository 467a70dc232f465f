"""Which timestamps Postgres holds. Its driver takes the first and the last datetime for -infinity and infinity, and
reads these as datetimes without a time zone.
"""

from datetime import UTC, datetime
from typing import Final

_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)


def is_finite(timestamp: datetime) -> bool:
    """False for an infinite timestamp, and for one that leaves the years 1 to 9999 in UTC. It has a time zone."""
    try:
        return _FIRST < timestamp.astimezone(UTC) < _LAST
    except OverflowError:
        return False


def with_zone(timestamp: datetime | None) -> datetime | None:
    """A timestamp of a row, which somebody may have set to infinity by hand."""
    return timestamp if timestamp is None or timestamp.tzinfo is not None else timestamp.replace(tzinfo=UTC)
