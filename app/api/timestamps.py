"""Points in time as clients write them."""

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta

from app.core.events import Fault, InvalidEvent

Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339, with an offset")]


def check_moment(moment: datetime | None, path: str) -> None:
    """Raises `InvalidEvent` for one that an offset puts outside of what can be stored."""
    try:
        if moment is not None:
            moment.astimezone(UTC)
    except OverflowError:
        raise InvalidEvent(Fault(path, "not between the years 1 and 9999 in UTC")) from None
