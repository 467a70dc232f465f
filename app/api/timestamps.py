"""Timestamps as clients write them."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from app.adapters.timestamps import is_finite
from app.core.field_errors import FieldError

Timestamp = Annotated[datetime, Meta(tz=True, description="RFC 3339, with an offset from UTC")]


def timestamp_faults(timestamp: datetime | None, path: str) -> list[FieldError]:
    """What is wrong with a timestamp that cannot be stored."""
    if timestamp is None or is_finite(timestamp):
        return []
    return [FieldError(path, "not between the years 1 and 9999 in UTC; leave it out for no bound")]
