"""Lists as one text, which Postgres turns into an array: `string_to_array($1, chr(31), '')` for texts,
`$1::text::bigint[]` for numbers.

asyncpg asks of each element of a list whether it is a list itself, which costs more than all the rest of sending it.
"""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

# No id, no traceparent and no JSON has an unprintable character in it.
_SEPARATOR: Final = "\x1f"


def joined_texts(texts: Collection[str]) -> str:
    """An empty text stands for NULL. Raises `ValueError` for one with U+001F, which would be taken for two."""
    joined = _SEPARATOR.join(texts)
    if joined.count(_SEPARATOR) >= max(len(texts), 1):
        raise ValueError("a text has the character U+001F")
    return joined


def number_array(numbers: Sequence[int] | Sequence[float]) -> str:
    """As an array literal."""
    return f"{{{msgspec.json.encode(numbers)[1:-1].decode()}}}"
