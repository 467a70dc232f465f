"""Baskets: what one user bought in one session, at most six hours apart."""

from collections.abc import Sequence
from typing import Final

import msgspec

from app.core.model import MODEL

VISIT_MS: Final = MODEL.repeat_gap_ms
"""How far two purchases of a basket are apart at most. A session id may live for longer than a visit."""
MAX_PURCHASES: Final = 1_000
"""How many of an item's latest purchases are looked at."""
MAX_OF_A_USER: Final = 3
"""How many of them one user may have made, so that nobody puts an item beside another for everybody."""
MAX_READ: Final = 5_000
"""Among how many of the item's latest purchases they are looked for."""
MAX_SHARED: Final = 200
"""How many of the items that share its baskets are kept."""


class Baskets(msgspec.Struct, frozen=True, gc=False):
    """The baskets that hold an item: how many, and what `others` reads.

    `packed`: MessagePack, since a process keeps many of them: 16 bytes an item instead of 80.
    """

    count: int
    packed: bytes

    def others(self) -> tuple[list[str], list[int]]:
        """The items that are in baskets with it, those in most of them first; and for each in how many."""
        return _decoder.decode(self.packed)


_decoder: Final = msgspec.msgpack.Decoder(tuple[list[str], list[int]])


def baskets_of(count: int, item_ids: Sequence[str], shared: Sequence[int]) -> Baskets:
    """`shared`: for each item, in how many of the baskets it is."""
    return Baskets(count, msgspec.msgpack.encode((item_ids, shared)))


NO_BASKETS: Final = baskets_of(0, (), ())
