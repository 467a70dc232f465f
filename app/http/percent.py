"""Percent-encoding, decoded without a guess: a byte sequence that means no text is refused, and never repaired."""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from app.core.decoding import InvalidInput
from app.core.field_errors import FieldError

_NO_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def decode(encoded: bytes, name: str) -> str:
    """The text that is written so in a URL. `name`: of the parameter, for the error.

    Raises `InvalidInput` for a percent sign that begins no escape, and for bytes that are not UTF-8.
    """
    if _NO_ESCAPE.search(encoded):
        raise InvalidInput(FieldError(f"$.{name}", "a % without two hexadecimal digits; write a percent sign as %25"))
    try:
        return unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        raise InvalidInput(FieldError(f"$.{name}", "not UTF-8 once it is percent-decoded")) from None
