"""Values in messages of Segment's protocol: ids, times, and what is at a path."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from app.core.decoding import InvalidInput
from app.core.events import Id
from app.core.field_errors import FieldError, field_error_of


def value_at(value: Any, path: str) -> Any:
    """What is at `a.b`; None where nothing is."""
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def id_at(value: Any, path: str) -> str | None:
    """An id as text. A number is its digits, as 17850.0 is 17850; null and empty text are none."""
    if value is None or value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    try:
        return msgspec.convert(value, Id)
    except msgspec.ValidationError as error:
        raise InvalidInput(FieldError(path, field_error_of(error, Id).message)) from None


def millis_of(value: str | int) -> int | None:
    """Milliseconds since 1970 of ISO 8601, in UTC where no zone is given, or of such a number."""
    if isinstance(value, int):
        return value if 0 <= value < 2**53 else None
    try:
        moment = datetime.fromisoformat(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0, round(moment.timestamp() * 1000))
    except (ValueError, OverflowError):
        return None
