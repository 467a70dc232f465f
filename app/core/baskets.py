"""Baskets: what one user bought in one session, at most six hours apart."""

from typing import Final

from msgspec import Struct

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


class Baskets(Struct, frozen=True):
    """The baskets that hold an item: how many, and in how many of them each other item is, most first."""

    count: int = 0
    item_ids: tuple[str, ...] = ()
    shared: tuple[int, ...] = ()


NO_BASKETS: Final = Baskets()
