"""Timestamps as clients write them."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from app.adapters.timestamps import is_finite
from app.core.decoding import InvalidInput
from app.core.field_errors import FieldError

Timestamp = Annotated[datetime, Meta(tz=True, description="RFC 3339, with an offset from UTC")]


def check_timestamp(timestamp: datetime | None, path: str) -> None:
    """Raises `InvalidInput` for a timestamp that cannot be stored."""
    if timestamp is not None and not is_finite(timestamp):
        raise InvalidInput(FieldError(path, "not between the years 1 and 9999 in UTC; leave it out for no bound"))
