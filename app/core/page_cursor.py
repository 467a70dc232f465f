"""Where a list goes on: an opaque text that says what was shown, so that the service remembers nothing.

The first thousand places are ranked anew for each page, without what was shown, by 32-bit hashes. After them comes the
rest of the catalogue, newest first, from a position in that order.
"""

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta, Struct, structs

from app.core.decoding import InvalidInput
from app.core.events import Id
from app.core.field_errors import FieldError
from app.core.history import seen_hash

START: Final = "start"
"""Asks for the first page."""

MAX_RANKED: Final = 1_000
MAX_LENGTH: Final = 8_000


class CataloguePosition(Struct, array_like=True, frozen=True):
    """An item and since when the catalogue has it, in microseconds since the epoch."""

    since_us: Annotated[int, Meta(gt=-62_135_596_800_000_000, lt=253_402_300_799_999_999)]
    item_id: Id


class PageCursor(Struct, array_like=True, frozen=True):
    """`shown`: 4 bytes a hash. `in_catalogue`: the ranked places are behind. `after`: the last item looked at. `of`: a
    hash of the list; 0 in a cursor of an earlier release.
    """

    shown: Annotated[bytes, Meta(max_length=4 * (MAX_RANKED + 200))] = b""
    in_catalogue: bool = False
    after: CataloguePosition | None = None
    of: Annotated[int, Meta(ge=0, lt=2**32)] = 0

    @property
    def hashes(self) -> frozenset[int]:
        return frozenset(np.frombuffer(self.shown, "<u4").tolist())

    def next(self, item_ids: Iterable[str], *, in_catalogue: bool = False) -> "PageCursor":
        """The cursor behind these items of a ranked page."""
        shown = self.shown + np.array([seen_hash(item_id) for item_id in item_ids], "<u4").tobytes()
        return PageCursor(shown, in_catalogue or len(shown) >= 4 * MAX_RANKED)


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(PageCursor)


def write_cursor(cursor: PageCursor, of: str) -> str:
    """`of`: names the list that goes on there."""
    return urlsafe_b64encode(_encoder.encode(structs.replace(cursor, of=seen_hash(of)))).rstrip(b"=").decode()


def read_cursor(text: str, of: str) -> PageCursor:
    """Raises `InvalidInput` for what `write_cursor` did not make of this list."""
    if text == START:
        return PageCursor()
    try:
        cursor = _decoder.decode(b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
    except (ValueError, RecursionError):  # of base64, and of msgspec
        cursor = None
    if cursor is None or len(cursor.shown) % 4:
        raise InvalidInput(FieldError("$.cursor", f"not a cursor of an answer; `{START}` asks for the first page"))
    if cursor.of not in (0, seen_hash(of)):
        raise InvalidInput(FieldError("$.cursor", f"of another list; `{START}` asks for the first page of this one"))
    return cursor
