"""Extracts trace ids from `traceparent` (W3C Trace Context, section 3.2)."""

import re
from typing import Final

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-(?P<trace_id>(?!0{32})[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def trace_id(traceparent: str | bytes | None) -> str | None:
    """The trace id, 32 hex digits; None for an invalid `traceparent`."""
    text = traceparent.decode("ascii", "replace") if isinstance(traceparent, bytes) else traceparent
    found = _TRACEPARENT.fullmatch(text or "")
    return found["trace_id"] if found else None
